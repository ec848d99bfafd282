"""What .ci/paste pastes, and that its shells show what fails."""

import json
import os
import shlex
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import pasting
from tests.support.documents import blocks_of, commands
from tests.support.pasting import compare, paste, plan, shape
from tests.support.paths import ROOT
from tests.support.terminal import Failed, serving, session
from tests.support.unrun import runnable

README = ROOT / "README.md"
DOCUMENT = """# A document

Text with `out/report.html` in it.

```sh
scripts/serve
```

```sh
scripts/test
```

```sh
mkdir -p out            # a comment
docker compose up
curl -fsS 'localhost:8000/encode' \\
  -o out/answer.json
.venv/bin/python - <<'END'
# scripts/test is not a command here
for name in ("it's", "fine"):

    print(name)
END
```

```json
{"model_version": 1, "z_mean": [[0.5, 1]]}
```

```text
not typed
```

```sh
cd out
```
"""


@pytest.fixture
def document(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr("tests.support.documents.ROOT", tmp_path)
    path = tmp_path / "README.md"
    path.write_text(DOCUMENT)
    return path


def test_blocks_are_pasted_in_order_without_what_is_listed(document):
    planned = plan(document)
    assert planned.serving.text == "scripts/serve\n"
    assert [(block.line, block.language) for block in planned.pasted] == [(13, "sh"), (26, "json"), (34, "sh")]
    text = runnable(planned.pasted[0].text)
    assert commands(text) == [
        "mkdir -p out",
        "curl -fsS 'localhost:8000/encode'   -o out/answer.json",
        ".venv/bin/python - <<'END'",
    ]
    assert "    print(name)\nEND\n" in text
    assert planned.written == ("out/answer.json", "out/report.html")


def test_a_document_without_a_block_that_serves_is_refused(document):
    document.write_text(DOCUMENT.replace("scripts/serve", "scripts/serve --port 1"))
    with pytest.raises(Failed, match="0 blocks are `scripts/serve` alone"):
        plan(document)


def test_python_that_no_shell_takes_is_refused(document):
    document.write_text(DOCUMENT.replace("```text", "```python"))
    with pytest.raises(Failed, match=r"README.md:30: a shell does not take Python"):
        plan(document)


def test_the_readme_is_pasted_but_for_what_needs_a_container_engine_or_is_the_tests_themselves():
    planned = plan(README)
    pasted = [line for block in planned.pasted for line in commands(runnable(block.text))]
    shown = [line for block in blocks_of(README) if block.language == "sh" for line in commands(block.text)]
    left = [line for line in shown if line not in pasted]
    assert [line for line in left if "docker compose" not in line] == ["scripts/serve", "scripts/test"]
    assert {"out/digit.png", "out/store", "out/tour", "out/latents.csv"} <= set(planned.written)


def test_every_curl_of_the_readme_shows_an_error_and_sends_files_of_the_clone():
    lines = [
        shlex.split(line) for block in blocks_of(README) if block.language == "sh" for line in commands(block.text)
    ]
    curls = [words for words in lines if words[0] == "curl"]
    assert len(curls) == 5
    for words in curls:
        assert words[1] == "-fsS"
        for word in words:
            _, _, sent = word.partition("@")
            assert (ROOT / sent).exists()


def test_only_the_shape_of_json_is_compared(document):
    block = plan(document).pasted[1]
    compare(block, 'installing ...\n{"z_mean": [[-2, 0.25]], "model_version": 3}and more')
    for other in ('{"model_version": 1, "z_mean": [[0.5]]}', '{"model_version": "1", "z_mean": [[0.5, 1]]}', "{}"):
        with pytest.raises(Failed, match=r"README.md:26: another shape"):
            compare(block, other)
    with pytest.raises(Failed, match="printed no JSON"):
        compare(block, "nothing")
    assert shape(json.loads('{"a": [true, null, "b"]}')) == {"a": ["bool", "NoneType", "str"]}


def test_a_session_goes_on_from_block_to_block(tmp_path):
    with session(tmp_path, os.environ) as shell:
        assert shell.paste("x=1; mkdir a; cd a", 10) == ""
        assert shell.paste("cat <<'END'\n$x\nEND\npwd; echo $x", 10) == f"$x\n{tmp_path}/a\n1\n"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("echo seen; false; echo unseen", 1),
        ("echo seen; sh -c 'exit 22' | cat; echo unseen", 22),
        ("echo seen; nil", 127),
    ],
)
def test_a_session_ends_at_the_first_command_that_fails(tmp_path, text, code):
    with session(tmp_path, os.environ) as shell, pytest.raises(Failed, match=f"exit code {code}\nseen") as failed:
        shell.paste(text, 10)
    assert "unseen" not in str(failed.value)


def test_a_command_that_does_not_end_is_not_waited_for(tmp_path):
    with session(tmp_path, os.environ) as shell, pytest.raises(Failed, match=r"still running after 2 s\nseen"):
        shell.paste("echo seen; sleep 60", 2)


def test_a_block_that_fails_is_named_by_its_line(document, tmp_path, capsys):
    document.write_text(DOCUMENT.replace("docker compose up", "ls nothing"))
    with session(tmp_path, os.environ) as shell, pytest.raises(Failed, match=r"README.md:13: exit code 2\n.*nothing"):
        paste(plan(document).pasted, shell)
    assert capsys.readouterr().out == ""


SERVE = f"""{sys.executable} - <<'END'
import http.server, signal, sys
signal.signal(signal.SIGINT, lambda *_: sys.exit(CODE))
class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass
server = http.server.HTTPServer(("127.0.0.1", PORT), Handler)
print("serves at", server.server_port, flush=True)
server.serve_forever()
END
"""


@pytest.mark.parametrize("code", [0, 3])
def test_a_service_is_waited_for_and_interrupted(tmp_path, code):
    port = free_port()
    text = SERVE.replace("CODE", str(code)).replace("PORT", str(port))
    with serving(text, tmp_path, os.environ) as service:
        service.wait_ready(f"http://127.0.0.1:{port}/", 30)
        service.wait_last_line(f"serves at {port}", 5)
        with pytest.raises(Failed, match="does not name nothing"):
            service.wait_last_line("nothing", 0)
        if code in pasting.STOPPED:
            pasting.check_end(service)
        else:
            with pytest.raises(Failed, match="exit code 3 after Ctrl-C"):
                pasting.check_end(service)


def test_a_service_that_ends_by_itself_is_not_waited_for(tmp_path):
    with (
        serving("echo no store; exit 1", tmp_path, os.environ) as service,
        pytest.raises(Failed, match="exit code 1\nno store"),
    ):
        service.wait_ready(f"http://127.0.0.1:{free_port()}/", 30)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def clone(tmp_path, monkeypatch) -> Path:
    for command in ("init -q", "-c user.name=a -c user.email=a@b.example commit -q --allow-empty -m first"):
        subprocess.run(["git", *command.split()], cwd=tmp_path, check=True)
    (tmp_path / ".git" / "info" / "exclude").write_text("out/\n")
    monkeypatch.setattr(pasting, "ROOT", tmp_path)
    return tmp_path


def test_a_clone_in_which_something_was_changed_or_is_missing_is_seen(clone):
    with pytest.raises(Failed, match=r"out/a\.png is missing or empty"):
        pasting.check_clone(("out/a.png",))
    (clone / "out" / "store").mkdir(parents=True)
    (clone / "out" / "a.png").touch()
    for path in ("out/a.png", "out/store"):
        with pytest.raises(Failed, match=f"{path} is missing or empty"):
            pasting.check_clone((path,))
    (clone / "out" / "a.png").write_text("a")
    (clone / "out" / "store" / "b").write_text("b")
    pasting.check_clone(("out/a.png", "out/store"))
    (clone / "new").touch()
    with pytest.raises(Failed, match=r"changed the clone:\n\?\? new"):
        pasting.check_clone(())


def test_only_a_fresh_clone_with_the_port_free_is_pasted_into(clone, monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        monkeypatch.setattr(pasting, "PORT", taken.getsockname()[1])
        with pytest.raises(Failed, match="is taken"):
            pasting.refuse_unless_fresh()
    pasting.refuse_unless_fresh()
    (clone / "out").mkdir()
    with pytest.raises(Failed, match="out/ is there"):
        pasting.refuse_unless_fresh()
    (clone / "new").touch()
    with pytest.raises(Failed, match=r"\?\? new"):
        pasting.refuse_unless_fresh()


def test_it_runs_with_nothing_installed():
    """-I -S: neither the current folder nor any package."""
    command = [sys.executable, "-I", "-S", str(ROOT / ".ci" / "paste"), "--help"]
    assert "usage: .ci/paste" in subprocess.run(command, cwd="/", capture_output=True, text=True, check=True).stdout
