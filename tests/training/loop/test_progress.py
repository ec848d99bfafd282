"""What a run shows: totals from the start, and no line that a terminal of 80 columns would break."""

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from app.models.manifest import StoredFile
from tests.support.fake_store import fake_manifest
from tests.training.data.test_datasets import save
from tests.training.data.test_image_folder import draw_pictures
from training.data.datasets import load
from training.data.image_folder import Preparing
from training.export.export import PARTS
from training.loop import progress
from training.loop.history import Epoch
from training.loop.losses import Losses
from training.loop.progress import line, say
from training.loop.train import Progress
from training.run import summarize

LOSSES = Losses(160.57, 155.32, 5.25)
FILES = [StoredFile(path=f"{part}/2/saved_model.pb", size=0, sha256="0" * 64) for part in ("encoder", "generator")]


def terminal(width: int = 80) -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=width, soft_wrap=True, highlight=False)


def shown(console: Console) -> list[str]:
    """What was drawn, one state of the bar after the other, without what moves the cursor and colours."""
    assert isinstance(console.file, io.StringIO)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", console.file.getvalue())
    return [part.rstrip() for part in re.split(r"[\r\n]", text) if part.strip()]


@pytest.mark.parametrize("width", [80, 100])
def test_the_bar_of_steps_has_its_total_before_the_first_step_and_fits(width):
    console = terminal(width)
    with progress.training(console, 20) as on_progress:
        for step in (0, 1000, 123_456):
            on_progress(Progress(step, 123_456, LOSSES if step else Losses(0, 0, 0)))
        on_progress(Progress(123_456, 123_456, LOSSES, Epoch(20, LOSSES, LOSSES, 0.35)))
    lines = shown(console)
    assert "0/123,456 steps" in lines[1]
    assert any("123,456/123,456 steps" in each and "loss 160.57" in each for each in lines)
    assert all("?" not in each and len(each) <= 80 for each in lines), lines


def test_a_run_that_goes_on_begins_where_it_stood():
    console = terminal()
    with progress.training(console, 20) as on_progress:
        on_progress(Progress(500, 1000, LOSSES))
    assert "500/1,000 steps" in shown(console)[1]


@pytest.mark.parametrize("epochs", [1, 20, 100, 100_000])
@pytest.mark.parametrize("size", [1, 7, 60])
def test_the_line_of_an_epoch_fits_whatever_the_numbers(epochs, size):
    losses = Losses(999.99 * size, 999.98 * size, 28.26)
    for seconds in (0.04, 9.96, 123.4):
        text = line(Epoch(epochs, losses, losses, seconds), epochs)
        assert len(text) <= 80, text
        assert text.startswith(f"epoch {epochs}/{epochs}  loss ")
    assert line(Epoch(3, LOSSES, LOSSES, 0.35), 20) == (
        "epoch  3/20  loss 160.57 = 155.32 +  5.25  test 160.57 = 155.32 +  5.25  0.3 s"
    )


def test_pictures_are_counted_from_the_start_and_other_data_have_no_bar(tmp_path, digit):
    draw_pictures(tmp_path / "mine", digit, 12)
    for name, expected in ((tmp_path / "mine", True), (save(tmp_path / "some.npz"), False)):
        console = terminal()
        with progress.counting(console, "preparing pictures", "pictures") as count:
            load(str(name), Preparing(28, tmp_path / "runs", count))
        assert any("preparing pictures" in each for each in shown(console)) == expected
        assert all(re.search(r" (0|12)/12 pictures", each) for each in shown(console))


def test_parts_are_named_and_nothing_is_promised_at_first():
    console = terminal()
    with progress.estimating(console, *PARTS) as on_progress:
        on_progress("measuring", 0.5)
        on_progress("measuring", 1.0)
        on_progress("exporting", 0.0)
        on_progress("reporting", 0.0)
    lines = shown(console)
    assert "0/100 %" in lines[0]
    assert "-:--:--" in lines[0]
    assert "reporting" in lines[-1]
    assert re.search(r"\d:\d\d:\d\d$", lines[-1])
    assert all(len(each) <= 80 for each in lines)


def test_without_a_terminal_there_are_lines_and_no_bars():
    console = Console(file=io.StringIO(), soft_wrap=True)
    with progress.training(console, 2) as on_progress:
        on_progress(Progress(0, 2, Losses(0, 0, 0)))
        on_progress(Progress(1, 2, LOSSES, Epoch(1, LOSSES, LOSSES, 1.0), "The disk is full."))
    assert shown(console) == [progress.HEAD, "warning: The disk is full.", line(Epoch(1, LOSSES, LOSSES, 1.0), 2)]


def test_a_text_is_broken_between_words_and_a_path_is_not():
    console = terminal()
    path = Path("/a/very-long/path" * 6)
    say(console, "word " * 40)
    say(console, f"report: {path}")
    lines = shown(console)
    assert all(len(each) <= 80 for each in lines[:-1])
    assert lines[-1] == str(path)


def test_what_was_published_is_told_in_lines_that_fit():
    measures = {"test_loss": 161.3, "test_xent": 155.2, "test_kl": 6.1, "nll": 158.1, "knn_accuracy": 0.561}
    manifest = fake_manifest(2, FILES).model_copy(update={"measures": measures})
    lines = summarize(manifest, Path("model_store"))
    assert lines == [
        "published version 2 in model_store",
        "test loss 161.30 nats per image = cross-entropy 155.20 + KL 6.10",
        "NLL at most 158.10, 10-NN accuracy 0.561",
        "report: model_store/reports/2/report.html",
    ]
