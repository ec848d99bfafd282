from tests.support import summary

REPORT = """<testsuites>
<testsuite errors="{errors}" failures="{failures}" skipped="{skipped}" tests="{tests}" time="60.4">{cases}</testsuite>
</testsuites>"""
SKIPPED = '<testcase><skipped type="pytest.skip" message="{why}">tests/a.py:1: {why}</skipped></testcase>'


def write(path, *reasons, tests, failures=0, errors=0):
    cases = "".join(SKIPPED.format(why=why) for why in reasons)
    path.write_text(REPORT.format(errors=errors, failures=failures, skipped=len(reasons), tests=tests, cases=cases))


def test_the_runs_are_told_as_one_with_why_tests_were_skipped(tmp_path):
    write(tmp_path / "beside.xml", "no strace", "no engine", "no engine", tests=9, failures=2, errors=1)
    write(tmp_path / "alone.xml", "no engine", tests=3)
    assert list(summary.after(tmp_path)) == [
        "skipped 3: no engine",
        "skipped 1: no strace",
        "===== 2 failed, 5 passed, 4 skipped, 1 error in 121s (2.0 minutes) =====",
    ]


def test_what_passes_is_told_alone(tmp_path):
    write(tmp_path / "beside.xml", tests=9)
    assert list(summary.after(tmp_path)) == ["===== 9 passed in 60s (1.0 minutes) ====="]


def test_what_is_not_there_is_named_first(monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: None)
    told = list(summary.before())
    assert "minutes" in told[0]
    for missing in ("no Docker engine", "no strace"):
        assert any(line.startswith("left out: ") and missing in line for line in told)


def test_long_tests_are_named_also_those_of_which_only_a_case_is_long():
    found = summary.long_tests()
    assert all(name.startswith("test_") for name in found)
    assert "test_versions_that_were_let_go_leave_no_memory_behind" in found
    assert "test_a_run_killed_at_random_steps_ends_as_the_unbroken_one" in found
    assert f"{len(summary.long_tests())} long tests" in list(summary.before())[-1]
