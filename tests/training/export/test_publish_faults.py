"""Power that fails and disks that fill while a version is published, at every single system call of it.

strace runs a publisher and, at the k-th call of a kind, kills it or has the kernel answer "no space left on device".
"""

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.models.store import ModelStore, digest
from tests.support.fake_store import fake_manifest, publish_fake, stage_fake
from tests.support.forked import Forked
from tests.support.paths import ROOT
from training.errors import PublishError
from training.export.publish import publish

CHANGING = (
    "write", "pwrite64", "sendfile", "copy_file_range", "ftruncate", "fsync", "fdatasync", "rename", "renameat",
    "renameat2", "mkdir", "mkdirat", "link", "linkat", "unlink", "unlinkat", "rmdir",
)  # fmt: skip
PUBLISHER = """
import sys
from pathlib import Path
from tests.support.fake_store import publish_fake
from training.errors import PublishError
try:
    publish_fake(Path(sys.argv[1]))
except PublishError as error:
    sys.exit(f"error: {error.detail}")
"""
AT_ONCE = len(os.sched_getaffinity(0))

strace = pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace: apt-get install strace")
slow = pytest.mark.slow


def traced(store: Path, log: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Publish one version of the fake pair under strace."""
    command = ["strace", "-f", "-qq", "-y", "-e", f"trace={','.join(CHANGING)}", "-e", "signal=none", "-o", str(log)]
    return subprocess.run(
        [*command, *options, sys.executable, "-c", PUBLISHER, str(store)],
        cwd=ROOT,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},  # or the first publisher writes more than the others
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def calls(published, tmp_path_factory) -> list[str]:
    """What a publish does to the disk, a line of strace each."""
    folder = tmp_path_factory.mktemp("calls")
    store = shutil.copytree(published, folder / "store")
    done = traced(store, folder / "log")
    assert done.returncode == 0, done.stderr
    lines = [line.split(maxsplit=1)[1] for line in (folder / "log").read_text().splitlines()]
    return [line for line in lines if str(store) in line]


def every(calls: list[str]) -> list[tuple[str, int]]:
    """All of them, as the first of a kind, the second, and so on."""
    counts = Counter(line.partition("(")[0] for line in calls)
    return [(call, k) for call, count in counts.items() for k in range(1, count + 1)]


def old(store: Path) -> dict[str, str]:
    """SHA-256 of each file of version 1."""
    files = [*store.glob("*/1/**/*"), store / "manifests" / "1.json"]
    return {str(path.relative_to(store)): digest(path) for path in files if path.is_file()}


def check_whole(store: Path, before: dict[str, str]) -> None:
    """The old version is as it was, and whatever else is visible is whole."""
    assert old(store) == before
    versions = ModelStore(store).versions()
    assert versions in ([1], [1, 2])
    for version in versions:
        ModelStore(store).open(version).verify()


def check_next_publish(store: Path) -> None:
    visible = ModelStore(store).versions()
    version = publish_fake(store)
    assert ModelStore(store).versions() == [*visible, version]
    ModelStore(store).open().verify()
    assert not list(store.glob(".staging-*"))


@slow
@strace
def test_a_publish_killed_at_any_system_call_leaves_the_old_store_or_the_new_one(published, calls, tmp_path):
    before, kills = old(published), every(calls)
    assert len(kills) > 30

    def killed(call: str, k: int) -> int:
        store = shutil.copytree(published, tmp_path / f"{call}-{k}")
        done = traced(store, tmp_path / f"{call}-{k}.log", "-e", f"inject={call}:signal=SIGKILL:when={k}")
        assert done.returncode == -9, f"{call} {k}: {done.stderr}"
        check_whole(store, before)
        visible = len(ModelStore(store).versions())
        check_next_publish(store)
        return visible

    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = list(pool.map(lambda kill: killed(*kill), kills))
    # The last rename publishes; killed at that call or before, nothing has happened, and after it, everything.
    last = max(k for call, k in kills if call == "rename")
    assert all(visible == 1 for (call, _), visible in zip(kills, found, strict=True) if call in ("rename", "write"))
    assert found[kills.index(("rename", last))] == 1
    assert 2 in found


@slow
@strace
@pytest.mark.parametrize("error", ["ENOSPC", pytest.param("EIO", marks=pytest.mark.long)])
def test_a_disk_that_fails_at_any_system_call_is_one_sentence_and_changes_nothing(published, calls, tmp_path, error):
    before = old(published)
    # Folders that are there already are no error, and what is taken away again is at the end of its way.
    faults = [(call, k) for call, k in every(calls) if call in ("write", "fsync", "rename")]
    words = {"ENOSPC": "No space left on device", "EIO": "Input/output error"}[error]

    def failed(call: str, k: int) -> None:
        store = shutil.copytree(published, tmp_path / f"{call}-{k}")
        done = traced(store, tmp_path / f"{call}-{k}.log", "-e", f"inject={call}:error={error}:when={k}")
        assert done.returncode == 1, f"{call} {k}: {done.stderr}"
        assert re.fullmatch(rf"error: Nothing was published: .*{words}\.\n", done.stderr), done.stderr
        assert ModelStore(store).versions() == [1]
        assert sorted(os.listdir(store / "encoder")) == sorted(os.listdir(store / "generator")) == ["1"]
        check_whole(store, before)
        check_next_publish(store)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda fault: failed(*fault), faults))


@strace
def test_what_is_renamed_is_on_the_disk_before_and_its_folder_after(calls):
    """Files, then folders, then the rename, then the parent: otherwise a power cut may keep the name and lose the file.

    The order of the manifest after everything else follows, since each rename is on the disk before the next.
    """
    made, synced, renames = set(), set(), []
    for number, line in enumerate(calls):
        call = line.partition("(")[0]
        if call == "write":
            made.add(path_of(line))
        elif call == "mkdir" and line.endswith("= 0"):
            made.add(line.split('"')[1])
        elif call == "fsync":
            synced.add(path_of(line))
        elif call == "rename":
            _, source, _, target, *_ = line.split('"')
            inside = {path for path in made if path == source or path.startswith(f"{source}/")}
            assert inside <= synced
            renames.append((number, target))
    assert [os.path.basename(os.path.dirname(target)) for _, target in renames] == [
        "encoder", "generator", "reports", "manifests"
    ]  # fmt: skip
    for number, target in renames:
        after = next(line for line in calls[number + 1 :] if not line.startswith("mkdir"))
        assert after.startswith("fsync")
        assert path_of(after) == os.path.dirname(target)


def path_of(line: str) -> str:
    """The file that the first argument's descriptor is open on."""
    found = re.search(r"<([^>]*)>", line)
    assert found
    return found[1]


@contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[Path]:
    """A file system of so many kilobytes."""
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        pytest.skip(f"cannot mount a small file system: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def stage_large(folder: Path) -> None:
    """The fake pair with weights of 256 KB each."""
    stage_fake(folder)
    for part in ("encoder", "generator"):
        (folder / part / "variables" / "variables.data").write_bytes(os.urandom(256 * 1024))


@pytest.mark.parametrize("kilobytes", range(60, 560, 20))
def test_a_disk_that_is_too_small_is_one_sentence_and_changes_nothing(tmp_path, kilobytes):
    with small_disk(tmp_path / "disk", kilobytes) as disk:
        publish_fake(disk / "store")
        before = old(disk / "store")
        with pytest.raises(PublishError, match=r"^Nothing was published: .*: No space left on device\.$"):
            publish(disk / "store", stage_large, fake_manifest)
        assert ModelStore(disk / "store").versions() == [1]
        check_whole(disk / "store", before)


def test_a_disk_that_is_just_large_enough_takes_it(tmp_path):
    with small_disk(tmp_path / "disk", 700) as disk:
        publish_fake(disk / "store")
        assert publish(disk / "store", stage_large, fake_manifest) == 2
        check_whole(disk / "store", old(disk / "store"))


@slow
@pytest.mark.parametrize("kilobytes", [500, 1200, 1700])
def test_training_into_a_full_disk_says_so_in_one_sentence(few, tmp_path, kilobytes):
    with small_disk(tmp_path / "disk", kilobytes) as disk:
        publish_fake(disk / "store")
        before = old(disk / "store")
        command = ["-m", "training", "--data", few, "--limit", "400", "--epochs", "1", "--quiet"]
        with Forked([*command, "--store", disk / "store", "--runs", tmp_path / "runs"]) as process:
            _, errors = process.communicate(timeout=300)
        assert process.returncode == 1
        said = errors.splitlines()[-1]  # after what TensorFlow says of the machine
        assert re.fullmatch(r"error: Nothing was published: .*No space left on device\.", said), errors
        assert "Traceback" not in errors
        assert ModelStore(disk / "store").versions() == [1]
        assert not list((disk / "store").glob(".staging-*"))
        check_whole(disk / "store", before)
