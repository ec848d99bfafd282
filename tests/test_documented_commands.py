"""The documents' commands: each is understood, run or listed, and every option is told where it should be."""

import argparse
import json
import re
import shlex
from collections.abc import Callable, Iterator

import yaml

import benchmarks.__main__ as benchmarks
from app.cli import serve, train
from app.cli.__main__ import join_points, parser
from tests.support.documents import blocks, commands, inline
from tests.support.paths import ROOT
from tests.support.unrun import UNRUN, unrun
from training.__main__ import _evaluate_parser

CLIENT = (ROOT / "docs" / "client.md").read_text()
TRAINING = (ROOT / "docs" / "training.md").read_text()
COMPOSE = (ROOT / "docker-compose.yml").read_text()
COMPOSE_VERBS = {"up", "run", "restart", "down", "stop", "ps", "logs", "kill", "build"}
FOREIGN = {
    "--require-hashes",
    "--no-deps",
    "--no-build-isolation",
    "--proxy-headers",
    "--forwarded-allow-ips",
}  # options of other programs


def understand_command(given: list[str]) -> None:
    if given[0] == "train":
        understand_training(given[1:])
    elif given[0] == "serve":
        serve.parser().parse_args(given[1:])
    elif len(given) > 1 or given[0] == "manifold":
        parser().parse_args(join_points(given))


def understand_training(given: list[str]) -> None:
    if given[:1] == ["evaluate"]:
        _evaluate_parser("evaluate").parse_args(given[1:])
    else:
        train.parser().parse_args(given)


PROGRAMS: dict[str, Callable[[list[str]], object]] = {
    "digit-vae": understand_command,
    ".venv/bin/digit-vae": understand_command,
    "scripts/serve": serve.parser().parse_args,
    "scripts/train": understand_training,
    "python -m training": understand_training,
    "scripts/bench": benchmarks._parser().parse_args,
}


def understand(words: list[str]) -> None:
    """Parse a command of this project, as far as the command line goes; others are not looked at."""
    for program, parse in PROGRAMS.items():
        own = program.split()
        if words[: len(own)] == own and "--help" not in words:
            parse(words[len(own) :])


def test_the_commands_of_the_documents_are_understood():
    lines = [line for block in blocks("sh") for line in commands(block.text)]
    assert sum(line.startswith("digit-vae ") for line in lines) > 8
    for line in [*lines, *(span for start in PROGRAMS for span in inline(f"{start} "))]:
        for part in line.partition(" > ")[0].split(" | "):
            understand(shlex.split(part.replace(" ...", "")))


def options_of(parser: argparse.ArgumentParser, name: str = "") -> Iterator[tuple[str, str]]:
    """Every (command, long option) below a parser."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for below, inner in action.choices.items():
                yield from options_of(inner, f"{name} {below}".strip())
        else:
            yield from ((name, option) for option in action.option_strings if option.startswith("--"))


def options_of_commands() -> set[tuple[str, str]]:
    found = {*options_of(parser()), *options_of(serve.parser(), "serve")}
    return {(command or "digit-vae", option) for command, option in found if option != "--help"}


def test_every_option_of_every_command_is_in_the_clients_document_and_no_other():
    rows = re.findall(r"^\| (`-.*?`) \| ([a-z, -]+) \| .+ \|$", CLIENT, re.MULTILINE)
    told = {
        (command, option)
        for options, commands in rows
        for option in re.findall(r"`(?:-\w`, `)?(--[a-z-]+)", options)
        for command in commands.split(", ")
    }
    assert told == options_of_commands()


def test_every_option_of_training_is_in_its_document_and_no_other():
    told = set(re.findall(r"^\| `(--[a-z-]+)[^|]*\|[^|]*\| .+ \|$", TRAINING, re.MULTILINE))
    assert told == {option for _, option in options_of(train.parser())} - {"--help"}
    evaluate = TRAINING[TRAINING.index("`scripts/train evaluate` takes") :].partition("\n\n")[0]
    found = {option for _, option in options_of(_evaluate_parser("evaluate"))} - {"--help"}
    assert set(re.findall(r"`(--[a-z-]+)`", evaluate)) == found


def test_every_option_that_a_document_names_exists():
    ours = {option for _, option in (*options_of_commands(), *options_of(train.parser()))}
    ours |= {option for _, option in options_of(benchmarks._parser())}
    ours |= set(re.findall(r"^ +(--[a-z]+)\)", (ROOT / "scripts" / "roll").read_text(), re.MULTILINE))
    for span in inline("--"):
        option = span.split()[0].partition("=")[0]
        assert option in ours | FOREIGN, span


def test_every_block_says_what_it_is():
    """So that none escapes the test that runs it: `text` is what is neither typed nor parsed."""
    for block in blocks():
        assert block.language in ("sh", "python", "json", "yaml", "text"), block
        if block.language == "json":
            json.loads(block.text)
        if block.language == "yaml":
            yaml.safe_load(block.text)
        if block.language == "python":
            compile(block.text, str(block), "exec")


def test_every_command_is_run_or_listed_with_what_tests_it():
    lines = [line for block in blocks("sh") for line in commands(block.text)]
    for each in UNRUN:
        assert any(re.fullmatch(each.pattern, line) for line in lines), f"no document has {each.pattern} any more"
        assert each.why
        file, _, function = each.tested_by.partition("::")
        assert f"def {function}" in (ROOT / file).read_text() if function else (ROOT / file).exists()


def test_the_commands_that_no_test_runs_are_few():
    """Those for containers, whose names are checked below, what does not end by itself, one for several hosts."""
    left = {line for block in blocks("sh") for line in commands(block.text) if unrun(line)}
    assert {line for line in left if "docker" not in line and not line.startswith("TF_CONFIG=")} == {
        "scripts/serve",
        "VAE_LOG_FORMAT=json scripts/serve",
        "OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318 scripts/serve",
        "scripts/test",
        "scripts/roll",
    }


def test_the_container_commands_name_what_the_compose_file_has():
    services = yaml.safe_load(COMPOSE)["services"]
    profiles_known = {each for service in services.values() for each in service.get("profiles", ())}
    lines = [line for block in blocks("sh") for line in commands(block.text) if "docker compose" in line]
    assert len(lines) > 5
    for line in [*lines, *inline("docker compose ")]:
        before, _, after = line.partition("docker compose ")
        assert all(name in COMPOSE for name in re.findall(r"(\w+)=", before)), line
        verb, names, profiles = compose_words(after.split())
        assert verb in COMPOSE_VERBS, line
        assert set(names) <= set(services), line
        assert set(profiles) <= profiles_known, line


def compose_words(words: list[str]) -> tuple[str, list[str], list[str]]:
    """The verb, the services and the profiles of what follows `docker compose`."""
    profiles = [words[i + 1] for i, word in enumerate(words) if word == "--profile"]
    with_value = ("--profile", "--entrypoint", "--scale", "-s")
    rest = [word for i, word in enumerate(words) if not word.startswith("-") and words[i - 1] not in with_value]
    verb, *names = rest
    return verb, names[:1] if verb == "run" else names, profiles
