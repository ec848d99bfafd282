import os
import subprocess
import sys
import threading
from contextlib import suppress

import pytest

from app.models.store import ModelStore
from tests.support.fake_store import fake_manifest, publish_fake, stage_fake
from tests.support.paths import ROOT
from training.errors import PublishError
from training.export.publish import check_writable, publish


def contents(store):
    return sorted(str(path.relative_to(store)) for path in store.rglob("*") if path.name != ".lock")


def test_the_first_version_is_1_and_the_next_one_more(tmp_path):
    assert [publish_fake(tmp_path / "store") for _ in range(3)] == [1, 2, 3]
    ModelStore(tmp_path / "store").open(3).verify()


def test_everything_of_a_version_is_in_its_place(store):
    assert set(os.listdir(store)) == {"encoder", "generator", "reports", "manifests", ".lock"}
    assert os.listdir(store / "encoder") == ["1"]
    assert (store / "reports" / "1" / "latent.png").exists()


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), RuntimeError("bad"), KeyboardInterrupt()])
def test_a_publish_that_fails_while_staging_leaves_the_store_as_it_was(store, error):
    def stage(folder):
        stage_fake(folder)
        raise error

    before = contents(store)
    with pytest.raises((PublishError, RuntimeError, KeyboardInterrupt)):
        publish(store, stage, fake_manifest)
    assert contents(store) == before


@pytest.mark.parametrize("call", ["rename", "fsync", "open"])
def test_a_publish_that_fails_at_any_system_call_leaves_no_visible_version(store, monkeypatch, call):
    real = getattr(os, call)
    before, failing, reached = contents(store), 0, True
    while reached:
        failing, reached, calls = failing + 1, False, 0

        def broken(*args, **kwargs):
            nonlocal calls, reached
            calls += 1
            if calls == failing:  # noqa: B023
                reached = True
                raise OSError(28, "No space left on device")
            return real(*args, **kwargs)

        with monkeypatch.context() as patch:
            patch.setattr(os, call, broken)
            if call == "open" and failing > 40:
                break
            with suppress(PublishError):
                publish_fake(store)
                break
        assert contents(store) == before
    assert failing > 3
    assert ModelStore(store).versions() == [1, 2]


KILLED = """
import os, signal, sys
from pathlib import Path
from tests.support.fake_store import publish_fake
call, when = sys.argv[2], int(sys.argv[3])
real, count = getattr(os, call), 0
def deadly(*args, **kwargs):
    global count
    count += 1
    if count == when:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*args, **kwargs)
setattr(os, call, deadly)
publish_fake(Path(sys.argv[1]))
"""


@pytest.mark.parametrize(("call", "when"), [("rename", n) for n in (1, 2, 3, 4)] + [("fsync", n) for n in (1, 9, 14)])
def test_a_publish_that_is_killed_leaves_no_visible_version_and_the_next_one_succeeds(store, call, when):
    killed = subprocess.run([sys.executable, "-c", KILLED, str(store), call, str(when)], cwd=ROOT, check=False)
    assert killed.returncode == -9
    assert ModelStore(store).versions() == [1]
    version = publish_fake(store)
    assert ModelStore(store).versions() == [1, version]
    ModelStore(store).open().verify()
    assert not list(store.glob(".staging-*"))


def test_publishers_take_turns(tmp_path):
    store, found = tmp_path / "store", []
    threads = [threading.Thread(target=lambda: found.append(publish_fake(store))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [1, 2, 3, 4, 5, 6]
    for version in found:
        ModelStore(store).open(version).verify()


def test_a_store_that_cannot_be_written_is_found_out_before_training(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(PublishError, match="cannot be written"):
        check_writable(tmp_path / "file" / "store")
    with pytest.raises(PublishError, match="cannot be written"):
        check_writable(tmp_path / "file")


def test_checking_leaves_nothing_behind(tmp_path):
    check_writable(tmp_path / "store")
    assert contents(tmp_path / "store") == []
