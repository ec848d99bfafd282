"""All command lines: their help fits a terminal, names what is taken by default, and ends with examples that work."""

import argparse
import re
import shlex
from collections.abc import Iterator

import pytest

from app.cli import serve
from app.cli.__main__ import join_points, main, parser
from app.cli.command_line import Parser
from app.cli.completion import with_programs
from app.settings.release import release
from tests.support.paths import ROOT
from training import __main__ as training

VALUES = re.compile(r"^(\w+=\S+ )+")


def below(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """A parser and all that are reached through it."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for each in action.choices.values():
                yield from below(each)


def all_parsers() -> list[argparse.ArgumentParser]:
    programs = [serve.parser("scripts/serve"), training.parser("python -m training")]
    evaluating = [training._evaluate_parser(prog) for prog in ("python -m training", "digit-vae train")]
    return [*below(with_programs(parser())), *programs, *evaluating]


PARSERS = {parser.prog: parser for parser in all_parsers()}
everywhere = pytest.mark.parametrize("prog", PARSERS)


def options(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    return [each for each in parser._actions if not isinstance(each, argparse._SubParsersAction)]


def test_no_command_line_is_left_out():
    assert len(PARSERS) > 15
    assert {"digit-vae serve", "digit-vae train evaluate", "digit-vae models unpin", "scripts/serve"} <= PARSERS.keys()
    assert all(isinstance(parser, Parser) for parser in PARSERS.values())


@everywhere
@pytest.mark.parametrize("columns", [80, 100])
def test_no_line_of_help_is_broken_by_the_terminal_or_inside_a_word(prog, columns, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    parser = PARSERS[prog]
    shown = parser.format_help()
    assert [line for line in shown.splitlines() if len(line) > 80] == []
    for action in options(parser):
        told = parser._get_formatter()._expand_help(action)
        assert " ".join(told.split()) in " ".join(shown.split())


@everywhere
def test_every_option_has_help_and_a_default_that_exists_is_named(prog):
    parser = PARSERS[prog]
    shown = " ".join(parser.format_help().split())
    assert "None" not in shown
    assert "False" not in shown
    for action in options(parser):
        told = parser._get_formatter()._expand_help(action)
        assert len(told) > 8, action
        if action.default is argparse.SUPPRESS and not isinstance(
            action, argparse._HelpAction | argparse._VersionAction
        ):
            assert "default" in told, action
        if action.default not in (None, False, argparse.SUPPRESS, "-"):
            default = ",".join(map(str, action.default)) if isinstance(action.default, tuple) else action.default
            assert f"(default: {default})" in told, action
        if action.default == "-":
            assert re.search("by default .*standard output", told), action


@everywhere
def test_help_has_examples_that_are_understood(prog):
    examples = (PARSERS[prog].epilog or "").partition("examples:\n")[2].split("\n\n")[0].replace("\\\n", " ")
    lines = [VALUES.sub("", line.strip()) for line in examples.splitlines()]
    commands = [part for line in lines for part in re.split(r" \| ", line.replace('eval "$(', "").replace(')"', ""))]
    ours = [each for each in commands if not each.startswith("curl ")]
    assert any(each.startswith(prog) for each in ours)
    for each in ours:
        understand(shlex.split(each.partition("   ")[0].partition(" >")[0]))


def understand(words: list[str]) -> None:
    """Parse a command; SystemExit if it is not understood."""
    program = next(
        each
        for each in ("python -m training", "scripts/serve", "digit-vae")
        if words[: each.count(" ") + 1] == each.split()
    )
    given = words[program.count(" ") + 1 :]
    if program == "digit-vae" and given[0] in ("serve", "train"):
        program, *given = {"serve": "scripts/serve", "train": "python -m training"}[given[0]], *given[1:]
    if program == "digit-vae":
        parser().parse_args(join_points(given))
    elif given[:1] == ["evaluate"]:
        training._evaluate_parser("").parse_args(given[1:])
    else:
        PARSERS[program].parse_args(given)


@pytest.mark.parametrize("command", [["--version"], ["serve", "--version"], ["train", "--version"]])
def test_the_version_is_that_of_the_package_whoever_is_asked(command, capsys):
    with pytest.raises(SystemExit) as left:
        main(command)
    assert left.value.code == 0
    assert capsys.readouterr().out == f"digit-vae {release()}\n"


def test_the_version_is_that_of_the_project_file():
    (declared,) = re.findall(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert release() in (declared, "0")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (["serve", "--workers", "0"], "argument --workers: 0 is too small: it must be at least one"),
        (["serve", "--port", "70000"], "argument --port: 70000 is too large: it must be at most 65535"),
        (["serve", "--port", "x"], "argument --port: 'x' is no whole number"),
        (["train", "--epochs", "0"], "argument --epochs: "),
        (["train", "--save-every", "-1"], "argument --save-every: "),
        (["train", "evaluate", "--version", "0"], "argument --version: "),
        (["generate", "--sample", "0"], "argument --sample: "),
        (["generate", "--sample", "1", "--scale", "0"], "argument --scale: "),
        (["generate", "--sample", "1", "--timeout", "nan"], "argument --timeout: "),
        (["generate", "--sample", "1", "--seed", "-1"], "argument --seed: "),
        (["generate"], "one of the arguments --z --sample is required"),
        (["manifold", "--n", "0"], "argument --n: "),
        (["manifold", "--low", "0.9", "--high", "0.1"], "--low must be less than --high"),
        (["models", "pin", "0"], "argument version: "),
        (["models", "turn"], "invalid choice: 'turn'"),
        (["manifold", "-o", "m.png", "--version", "1"], "--version goes with --store"),
    ],
)
def test_a_wrong_command_line_is_one_line_that_names_what_is_wrong(wrong, words, capsys):
    with pytest.raises(SystemExit) as left:
        main(wrong)
    assert left.value.code == 2
    shown = capsys.readouterr().err
    assert words in shown
    assert shown.startswith("error: ")
    assert len(shown.splitlines()) == 1
