import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from app.errors import InvalidImage
from app.imaging.preparation import Preparation, prepare
from tests.support.pictures import on_paper

SHAPE = (28, 28)


def grey(levels) -> np.ndarray:
    return np.asarray(levels, np.float32) / np.float32(255)


def centre_of_mass(image):
    y, x = np.mgrid[:28, :28]
    return (image * y).sum() / image.sum(), (image * x).sum() / image.sum()


def test_a_light_on_dark_digit_of_the_right_size_is_left_alone(digit):
    assert np.array_equal(prepare(grey(digit), SHAPE), grey(digit))


def test_dark_on_light_is_turned_round(digit):
    assert np.allclose(prepare(grey(255 - digit), SHAPE), grey(digit), atol=1e-6)


@pytest.mark.parametrize(("invert", "turned"), [("true", True), ("false", False)])
def test_the_caller_can_decide_about_polarity(invert, turned, digit):
    expected = 1 - grey(digit) if turned else grey(digit)
    assert np.array_equal(prepare(grey(digit), SHAPE, Preparation(invert)), expected)


def test_light_on_mid_grey_is_not_mistaken_for_dark_on_light(digit):
    assert np.array_equal(prepare(0.6 + 0.4 * grey(digit), SHAPE), 0.6 + 0.4 * grey(digit))


def test_a_digit_on_paper_is_cut_out_scaled_and_centred(digit):
    prepared = prepare(grey(on_paper(digit)), SHAPE)
    assert prepared.shape == SHAPE
    rows, columns = np.flatnonzero((prepared > 0.2).any(1)), np.flatnonzero((prepared > 0.2).any(0))
    assert max(np.ptp(rows), np.ptp(columns)) + 1 in (19, 20)
    assert centre_of_mass(prepared) == pytest.approx((14, 14), abs=0.6)
    assert np.abs(prepared - grey(digit)).mean() < 0.06


def test_uneven_light_noise_and_specks_do_not_matter(digit):
    clean = prepare(grey(on_paper(digit)), SHAPE)
    y, x = np.mgrid[:400, :300]
    scene = grey(on_paper(digit)) * (0.9 - 0.25 * x / 300 - 0.1 * y / 400)
    scene += np.random.default_rng(0).normal(0, 0.01, scene.shape)
    scene[370:373, 20:23] = 0.1
    assert np.abs(prepare(scene.astype(np.float32), SHAPE) - clean).mean() < 0.03


def test_fit_none_keeps_the_whole_picture(digit):
    prepared = prepare(grey(on_paper(digit)), SHAPE, Preparation(fit="none"))
    assert prepared[:, :3].max() == 0  # 300 x 400 leaves a margin left and right
    assert prepared[0].max() < 0.05
    assert prepared.sum() < 0.6 * grey(digit).sum()


def test_an_even_picture_holds_no_digit():
    for level in (0.0, 0.4, 1.0):
        with pytest.raises(InvalidImage, match="one even tone"):
            prepare(np.full((90, 60), level, np.float32), SHAPE)


@given(
    hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=40), elements=st.floats(0, 1, width=32)),
    st.sampled_from([Preparation(), Preparation(fit="none")]),
)
def test_any_picture_gives_a_digit_or_an_error_of_ours(picture, how):
    try:
        prepared = prepare(picture, SHAPE, how)
    except InvalidImage:
        return
    assert prepared.shape == SHAPE
    assert prepared.dtype == np.float32
    assert 0 <= prepared.min() <= prepared.max() <= 1
