"""Pictures show the first departures, causes first, and of an array the part that differs most."""

import base64
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.parity.finding import Run
from benchmarks.parity.majority import Departures
from benchmarks.parity.page import pictures
from benchmarks.parity.page.pictures import MOST_PICTURES, choose_departures, draw_departures
from tests.benchmarks.parity.made_up import FAR, finding


@pytest.fixture
def drawn(tmp_path, monkeypatch):
    """drawn(reference, other) is the picture of two arrays, and the arguments of what laid out its panels."""
    panels = []
    lay_out = pictures._draw_panels

    def spy(*arguments):
        panels.append(arguments)
        lay_out(*arguments)

    monkeypatch.setattr(pictures, "_draw_panels", spy)

    def draw(reference, other):
        departures, found = Departures.create(tmp_path / "kept"), finding("conv", found=FAR, role="cause")
        departures.keep(found, reference, other)
        (picture,) = draw_departures(Run("jittor", "torch", [found]), departures)
        return picture, panels[-1] if panels else None

    return draw


def svg(address: str) -> str:
    head, _, content = address.partition(",")
    assert head == "data:image/svg+xml;base64"
    return base64.b64decode(content).decode()


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape)


def test_the_channels_that_differ_most_are_drawn(drawn):
    reference = noise(2, 9, 12, 16)
    other = reference.copy()
    other[1, [2, 5, 7]] += np.array([[3.0], [1.0], [2.0]])[..., None]
    other[1, 4] += 0.5
    other[0, 3] += 0.7
    picture, (figure, axes, shown, shown_other, names, rows, _) = drawn(reference, other)
    assert rows == ["channel 2", "channel 5", "channel 7"]
    assert names == ("torch", "jittor", "jittor - torch")
    np.testing.assert_allclose(shown, reference[1, [2, 5, 7]], rtol=1e-6)
    np.testing.assert_allclose(shown_other, other[1, [2, 5, 7]], rtol=1e-6)
    assert picture.remark == "shape (2, 9, 12, 16), the 3 of 9 channels of image 1 that differ most"
    assert svg(picture.address).startswith("<?xml") and "<image" in svg(picture.address)
    # One scale for both arrays, one around zero for the difference.
    images = np.array([[axis.images[0] for axis in row] for row in axes])
    (scale,) = {image.get_clim() for image in images[:, :2].ravel()}
    (around_zero,) = {image.get_clim() for image in images[:, 2]}
    assert scale == pytest.approx((min(shown.min(), shown_other.min()), max(shown.max(), shown_other.max())))
    assert around_zero == pytest.approx((-3.0, 3.0))
    np.testing.assert_allclose(images[0, 2].get_array(), 3.0, rtol=1e-5)
    labels = [axis.get_xlabel() for axis in figure.axes if axis.get_xlabel()]
    assert labels == ["value", "difference"]  # the legends


@pytest.mark.parametrize(
    ("shape", "drawn_as"),
    [((300, 4), (48, 4)), ((16, 8, 3, 3), (16, 72)), ((1, 50, 700), (48, 256)), ((2, 3, 4), (2, 12))],
)
def test_other_shapes_are_heat_maps_of_what_differs_most(drawn, shape, drawn_as):
    reference = noise(*shape)
    other = reference.copy()
    other.ravel()[-1] += 9.0
    picture, (_, _, shown, shown_other, *_) = drawn(reference, other)
    assert shown.shape == (1, *drawn_as)
    assert np.abs(shown_other - shown).max() == pytest.approx(9.0, rel=1e-5)
    assert picture.address and f"shape {shape}" in picture.remark


def test_vectors_are_lines(drawn):
    reference = noise(1, 2000, 1, 1)
    picture, panels = drawn(reference, 1.5 * reference)
    assert panels is None and "<image" not in svg(picture.address)
    assert picture.remark == "shape (1, 2000, 1, 1), the 512 that differ most"


def test_one_number_is_told(drawn):
    picture, _ = drawn(np.array([1.5]), np.array([2.0]))
    assert not picture.address and picture.remark == "one number: torch 1.5, jittor 2, difference 0.5"


@pytest.mark.parametrize(
    ("reference", "other"),
    [(noise(3), None), (None, noise(3)), (noise(3), noise(4)), (noise(0, 4), noise(0, 4))],
    ids=["missing", "added", "another shape", "empty"],
)
def test_what_cannot_be_laid_side_by_side_is_no_picture(drawn, reference, other):
    picture, _ = drawn(reference, other)
    assert not picture.address and picture.remark.startswith("no picture")


@pytest.mark.parametrize("value", [np.nan, np.inf, 3e38])
def test_what_is_not_finite_is_drawn_all_the_same(drawn, value):
    reference = noise(1, 4, 10, 10).astype(np.float32)
    other = reference.copy()
    other[0, 2, 3, 4] = value
    picture, (*_, rows, _) = drawn(reference, other)
    assert picture.address and "channel 2" in rows
    everywhere, _ = drawn(reference, np.full_like(reference, np.nan))
    assert everywhere.address


def test_causes_go_first_and_each_array_once(tmp_path):
    kept = Departures.create(tmp_path)
    early = finding("early", found=FAR, role="consequence")
    cause, second = (finding(name, found=FAR, role="cause") for name in ("cause", "second"))
    later = [finding(f"later{i}", found=FAR, role="consequence") for i in range(MOST_PICTURES)]
    injected = replace(cause, mode="injected")
    unkept = finding("not kept", found=FAR, role="cause")
    loss = finding("loss.S", "loss", FAR, gate=2, role="cause")
    run = Run("jittor", "torch", [early, unkept, injected, second, cause, *later, loss])
    kept.keep(loss, noise(1), noise(1))
    for found in (early, injected, cause, second, *later):
        kept.keep(found, noise(3), noise(3))
    names = [found.name for found in choose_departures(run, kept)]  # without the number
    assert names == ["cause", "second", "early", "later0"] and len(names) == MOST_PICTURES
