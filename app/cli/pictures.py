"""Encoding of many pictures, some of which may be unreadable: these are reported as an error, or skipped."""

import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass

from app.cli.errors import CommandError
from app.cli.files import Input
from app.client import AsyncClient, ClientError, Encoding, InvalidInput, ProblemError
from app.client.calls import Fit, Invert
from app.client.progress import showing
from app.client.results import joined_encodings

GROUP = 256  # pictures that are asked for at once where some may be left out: four requests, side by side

Encoded = tuple[list[Input], Encoding]


@dataclass(frozen=True)
class Preparation:
    """Options of the service's preprocessing."""

    invert: Invert
    fit: Fit


async def encode_all(client: AsyncClient, found: list[Input], how: Preparation) -> Encoded:
    """Encode every picture, or fail if one is refused.

    Raises:
        CommandError: the service refuses a picture; the message names its file.
        ClientError: a file cannot be read, or the service cannot answer for another reason.
    """
    images = [each.image for each in found]
    try:
        return found, await client.encode(images, invert=how.invert, fit=how.fit, progress=True)
    except ProblemError as exc:
        if exc.index is None:
            raise
        raise CommandError(f"{found[exc.index].name}: {exc.detail}") from exc


async def encode_readable(client: AsyncClient, found: list[Input], how: Preparation) -> Encoded:
    """Encode the readable pictures; report every other one on stderr with the reason.

    Raises:
        CommandError: no picture can be read.
        ClientError: the service cannot answer for another reason.
    """
    kept: list[Input] = []
    results: list[Encoding] = []
    left_out: list[str] = []
    with showing(True, "encoding", len(found)) as more:
        for group in _groups(found):
            async for inputs, outcome in _outcomes(client, group, how):
                more(len(inputs))
                if isinstance(outcome, str):
                    left_out.append(outcome)
                else:
                    kept += inputs
                    results.append(outcome)
    for line in left_out:  # now that the bar is gone
        print(f"skipped: {line}", file=sys.stderr)
    if not results:
        raise CommandError(f"none of {len(found)} pictures can be read.")
    return kept, joined_encodings(results)


async def _outcomes(
    client: AsyncClient, group: Sequence[Input], how: Preparation
) -> AsyncIterator[tuple[Sequence[Input], Encoding | str]]:
    """Encode a group, or, if one picture of it is refused, each picture alone; yield its encoding or its error."""
    try:
        outcome = await client.encode([each.image for each in group], invert=how.invert, fit=how.fit)
    except (InvalidInput, ProblemError) as exc:
        if not _is_of_a_picture(exc):
            raise
        if len(group) == 1:
            yield group, _told(group[0].name, exc)
            return
    else:
        yield group, outcome
        return
    for each in group:
        async for found in _outcomes(client, [each], how):
            yield found


def _groups(found: Sequence[Input]) -> Iterator[Sequence[Input]]:
    for first in range(0, len(found), GROUP):
        yield found[first : first + GROUP]


def _is_of_a_picture(error: ClientError) -> bool:
    """Return whether the error concerns a single picture, rather than the service or the whole request."""
    return isinstance(error, InvalidInput) or (isinstance(error, ProblemError) and error.index is not None)


def _told(name: str, error: ClientError) -> str:
    text = error.detail if isinstance(error, ProblemError) else str(error)
    return text if text.startswith(name) else f"{name}: {text}"
