"""What a hypothesis computes is right, and no cause is said to be tested where none is."""

import numpy as np
import pytest

from benchmarks.foreign.hypotheses.evidence import Evidence
from benchmarks.foreign.hypotheses.explain import explain, find_causes
from benchmarks.foreign.hypotheses.layouts import join_windows, split_in_windows
from benchmarks.foreign.hypotheses.operations import Window, convolve, pool_largest, pool_mean
from benchmarks.parity.judge import Judge
from benchmarks.parity.tolerances import Tolerances
from tests.benchmarks.foreign import small_network as net

RNG = np.random.default_rng(11)
PICTURE = RNG.normal(size=(2, 4, 9, 9))


def drawn(seed: int) -> tuple[net.Network, net.Arrays, net.Arrays]:
    """The small network, its parameters, and what its layers answer to one picture."""
    network, parameters = net.build(), net.draw_parameters(seed)
    return network, parameters, net.run(network, parameters, net.draw_image(seed, 1))


@pytest.mark.parametrize(
    ("stride", "sides", "dilation", "groups"), [(1, 1, 1, 1), (2, 1, 1, 2), (1, 2, 2, 4), (2, 0, 1, 1)]
)
def test_convolutions(stride, sides, dilation, groups):
    weight, bias = RNG.normal(size=(8, 4 // groups, 3, 3)), RNG.normal(size=8)
    expected = net.conv(PICTURE, weight, bias, stride, (sides,) * 4, dilation, groups)
    window = Window((3, 3), stride, (sides,) * 4, dilation)
    np.testing.assert_allclose(convolve(PICTURE, weight, bias, window), expected, atol=1e-12)


def test_pools():
    around = (1, 1, 1, 1)
    window = Window((3, 3), 2, around)
    np.testing.assert_array_equal(pool_largest(PICTURE, window), net.max_pool(PICTURE))
    for counts in (True, False):
        expected = net.mean_pool(PICTURE, sides=around, counts_padding=counts)
        np.testing.assert_allclose(pool_mean(PICTURE, window, counts), expected, atol=1e-12)


def test_ceil_mode_takes_a_last_window_that_begins_in_the_picture():
    row = np.arange(6.0).reshape(1, 1, 1, 6).repeat(6, axis=2)
    assert pool_largest(row, Window((3, 3), 2))[0, 0, 0].tolist() == [2, 4]
    assert pool_largest(row, Window((3, 3), 2, ceil=True))[0, 0, 0].tolist() == [2, 4, 5]
    assert pool_mean(row, Window((3, 3), 2, ceil=True), counts_padding=True)[0, 0, 0].tolist() == [1, 3, 4.5]
    # A third window would begin beyond the picture, in the padding on the right.
    assert Window((2, 2), 2, (1, 1, 1, 1), ceil=True).size(3, 3) == (2, 2)


def test_windows_are_split_and_joined():
    picture = RNG.normal(size=(2, 8, 8, 3))
    windows = split_in_windows(picture, 4)
    np.testing.assert_array_equal(windows[1, 5], picture[0, 1, 5])
    np.testing.assert_array_equal(join_windows(windows, 2), picture)


@pytest.mark.slow
@pytest.mark.parametrize("level", [0.01, 1.0])
def test_noise_has_no_tested_cause(level):
    network, parameters, layers = drawn(seed=4)
    names = list(layers)
    for at, name in enumerate(names):
        right = layers[name]
        other = (right + level * right.std() * np.random.default_rng(at).normal(size=right.shape)).astype(np.float32)
        before = {earlier: layers[earlier] for earlier in names[max(0, at - 12) : at][::-1]}
        kind = network[name].kind
        assert find_causes(Evidence(name, kind, right, other, before, parameters)) == [], name


@pytest.mark.slow
def test_arrays_of_any_shape_are_answered():
    """A layer of another shape, a number, nothing at all, NaN: whatever a port dumps, the hypotheses go on."""
    network, parameters, layers = drawn(seed=5)
    names = list(layers)
    shapes = [(), (0,), (7,), (1, 4), (1, 8, 3), (1, 8, 5, 5), (2, 8, 16, 16, 1)]
    one_a_kind = {network[name].kind: name for name in names}.values()
    for at, name in ((names.index(name), name) for name in one_a_kind):
        before = {earlier: layers[earlier] for earlier in names[max(0, at - 3) : at][::-1]}
        before |= {
            "number": np.float32(3),
            "none": np.zeros((0, 4)),
            "row": np.ones(5),
            "nan": np.full((1, 8, 16, 16), np.nan),
        }
        for shape in shapes:
            kind = network[name].kind
            find_causes(Evidence(name, kind, layers[name], np.ones(shape), before, parameters))
    for kind in ("Conv2d", "Linear", "LayerNorm", "BatchNorm2d", "MaxPool2d", "ReLU", "Upsample", "layer"):
        for shape in shapes:
            ones = np.ones(shape)
            find_causes(Evidence("x", kind, ones, RNG.normal(size=shape), {"one": ones, "two": RNG.normal(size=shape)}))


@pytest.mark.parametrize(("images", "words"), [(1, "one image does not tell"), (3, "3 images do not tell")])
def test_a_small_batch_is_told(images, words):
    reference, other = RNG.normal(size=(images, 10)), RNG.normal(size=(images, 10))
    finding = Judge(Tolerances())(1, "fc", "Linear", reference, other)
    told = explain(finding, Evidence("fc", "Linear", reference, other))
    assert finding.pattern == "noise" and words in told.second_cause and "dump 4" in told.second_cause


def test_a_dropped_bias_is_told_from_two_images_without_parameters():
    reference = RNG.normal(size=(2, 10)).astype(np.float32)
    told = explain(
        Judge(Tolerances())(1, "fc", "Linear", reference, reference + 1),
        Evidence("fc", "Linear", reference, reference + RNG.normal(size=10).astype(np.float32)),
    )
    assert "the bias" in told.usual_cause
