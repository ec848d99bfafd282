"""What all commands share: help, exit codes, and that the two long ones are passed on whole."""

import contextlib
import os
import pty
import shlex
import signal
import socket
import subprocess
import sys

import pytest

from app.cli.__main__ import COMMANDS, join_points, main, parser
from tests.support.paths import ROOT
from tests.support.pictures import file_of

NAMES = [module.__name__.rpartition(".")[2] for module in COMMANDS]


def test_help_teaches_with_examples_and_names_the_exit_codes(capsys):
    with pytest.raises(SystemExit) as left:
        main(["--help"])
    assert left.value.code == 0
    shown = capsys.readouterr().out
    assert all(f"digit-vae {name}" in shown or name == "completion" for name in NAMES)
    assert "130" in shown


@pytest.mark.parametrize("name", NAMES)
def test_every_command_has_help(name, capsys):
    with pytest.raises(SystemExit) as left:
        main([name, "--help"])
    assert left.value.code == 0
    shown = capsys.readouterr().out
    assert f"usage: digit-vae {name}" in shown
    assert name in ("serve", "train") or f"digit-vae {name}" in shown.partition("examples:")[2]


@pytest.mark.parametrize("name", ["encode", "generate", "manifold", "models"])
def test_the_examples_of_the_help_are_command_lines(name, capsys):
    """Each is understood as far as the command line goes."""
    with pytest.raises(SystemExit):
        main([name, "--help"])
    examples = capsys.readouterr().out.partition("examples:\n")[2].splitlines()
    assert examples
    for line in examples:
        for part in line.replace('eval "$(', "").replace(')"', "").split("|"):
            command = part.strip().partition("   ")[0].partition(" >")[0]  # without what it does, or where it goes
            if command.startswith("digit-vae"):
                parser().parse_args(join_points(shlex.split(command)[1:]))


@pytest.mark.parametrize(
    "wrong", [[], ["nothing"], ["generate"], ["encode"], ["serve", "--port", "x"], ["train", "-x"]]
)
def test_a_wrong_command_line_is_2(wrong, capsys):
    with pytest.raises(SystemExit) as left:
        main(wrong)
    assert left.value.code == 2
    assert "usage: digit-vae" in capsys.readouterr().err


def test_serve_and_train_are_the_programs_that_the_scripts_start(capsys):
    for name, option in (("serve", "--workers"), ("train", "--preset")):
        with pytest.raises(SystemExit):
            main([name, "--help"])
        assert option in capsys.readouterr().out


def test_serve_without_a_store_fails_in_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("VAE_MODEL_STORE", str(tmp_path))
    assert main(["serve"]) == 1
    assert capsys.readouterr().err.startswith("error: No version is published")


def test_ctrl_c_is_130(monkeypatch, capsys, store):
    def stopped(self):
        raise KeyboardInterrupt

    monkeypatch.setattr("app.models.store.ModelStore.versions", stopped)
    assert main(["models", "list", "--store", str(store)]) == 130
    assert capsys.readouterr().err == "stopped\n"


def test_ctrl_c_while_a_service_thinks_is_130_without_a_traceback(digit, tmp_path):
    (tmp_path / "a.png").write_bytes(file_of(digit))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(20)
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        command = [sys.executable, "-m", "app.cli", "encode", str(tmp_path / "a.png"), "--url", url]
        process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
        connection, _ = silent.accept()
        with connection:
            connection.recv(1)
            process.send_signal(signal.SIGINT)
            _, shown = process.communicate(timeout=20)
    assert (process.returncode, shown) == (130, "stopped\n")


def test_ctrl_c_takes_the_bar_of_a_long_list_from_the_terminal(digit, tmp_path):
    for i in range(1000):
        (tmp_path / f"{i:04}.png").write_bytes(file_of(digit))
    ours, theirs = pty.openpty()
    with socket.create_server(("127.0.0.1", 0)) as silent, open(ours, "rb", 0) as terminal:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        command = [
            sys.executable,
            "-m",
            "app.cli",
            "encode",
            str(tmp_path),
            "--url",
            url,
            "-o",
            str(tmp_path / "z.csv"),
        ]
        environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80"}
        process = subprocess.Popen(command, cwd=ROOT, stderr=theirs, env=environment)
        os.close(theirs)
        shown = b""
        while b"encoding" not in shown:
            shown += terminal.read(1024)
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(OSError):  # a terminal whose last user has left
            while part := terminal.read(1024):
                shown += part
        assert process.wait(20) == 130
    assert shown.endswith(b"stopped\r\n")
    assert shown.rfind(b"\x1b[?25h") > shown.rfind(b"\x1b[?25l")  # the cursor is there again
    assert not (tmp_path / "z.csv").exists()


def test_a_reader_that_leaves_is_no_traceback(store):
    command = f"{sys.executable} -m app.cli models show --store {store} | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.returncode in (0, 1)
