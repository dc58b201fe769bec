"""Every way to depart is planted and named; what looks like one but is not stays noise."""

import numpy as np
import pytest

from benchmarks.parity.causes import CAUSES, NAMED, usual_causes
from benchmarks.parity.pattern import PATTERNS, pattern

RNG = np.random.default_rng(7)
FEATURES = RNG.normal(size=(2, 8, 16, 12)).astype(np.float32)
KERNEL = RNG.normal(size=(6, 4, 3, 3)).astype(np.float32)
BOXES = RNG.uniform(0, 500, size=(40, 4)).astype(np.float32)
POSITIVE = np.maximum(FEATURES, 0)
BY_CHANNEL = np.linspace(0.5, 2.0, 8, dtype=np.float32)[:, None, None]
LAST = FEATURES.transpose(0, 2, 3, 1)  # (N, H, W, C)


def zero_border(array: np.ndarray, top: int, bottom: int, left: int, right: int) -> np.ndarray:
    """As if zeros had been padded where the reference has values."""
    height, width = array.shape[-2:]
    inside = np.zeros_like(array)
    inner = (..., slice(top, height - bottom), slice(left, width - right))
    inside[inner] = array[inner]
    return inside


PLANTED = [
    ("scale", FEATURES, 1.25 * FEATURES, "1.25 times"),
    ("scale", FEATURES, -FEATURES, "-1 times"),
    ("shift", FEATURES, FEATURES + 0.5, "+0.5"),
    ("shift", BOXES, BOXES - 1, "-1"),
    ("scale and shift", FEATURES, FEATURES / 255 - 0.5, "0.00392157 times the reference -0.5"),
    ("scale by channel", FEATURES, FEATURES * BY_CHANNEL, "0.5 to 2"),
    ("shift by channel", FEATURES, FEATURES + BY_CHANNEL, "0.5 to 2"),
    ("shift by channel", BOXES, BOXES + np.float32([0, 0, 1, 1]), "plus 0, 0, 1, 1"),
    ("shift by channel", BOXES[None], BOXES[None] + np.float32([0, 0, 1, 1]), "axis 2"),
    ("scale and shift by channel", FEATURES, FEATURES * BY_CHANNEL**2 + BY_CHANNEL / 2, "times 0.25 to 4"),
    ("transposed", BOXES[:4], BOXES[:4].T, "axes 0 and 1"),
    ("transposed", FEATURES[..., :12, :], FEATURES[..., :12, :].swapaxes(2, 3), "axes 2 and 3"),
    ("transposed", KERNEL[:4], KERNEL[:4].swapaxes(0, 1), "axes 0 and 1"),
    ("flipped", KERNEL, KERNEL[..., ::-1, ::-1], "axes 2 and 3"),
    ("flipped", FEATURES, FEATURES[..., ::-1], "axis 3"),
    ("channels permuted", FEATURES, FEATURES[:, [1, 0, *range(2, 8)]], "[1, 0, 2, 3, 4, 5, 6, 7]"),
    ("channels permuted", FEATURES[:, :3], FEATURES[:, 2::-1], "[2, 1, 0]"),
    ("channels permuted", LAST, LAST[..., [1, 0, *range(2, 8)]], "[1, 0, 2, 3, 4, 5, 6, 7] of the reference's, axis 3"),
    ("scale by channel", LAST, LAST * BY_CHANNEL.reshape(-1), "axis 3"),
    ("shift by channel", LAST, LAST + BY_CHANNEL.reshape(-1), "axis 3"),
    ("channels permuted", BOXES, BOXES[:, [1, 0, 3, 2]], "[1, 0, 3, 2] of the reference's, axis 1"),
    ("channels permuted", BOXES, BOXES[::-1], "40 of 40 in another place, 0 is the reference's 39, axis 0"),
    ("border", FEATURES, zero_border(FEATURES, 1, 1, 1, 1), "within 1 pixels of the border (top, bottom, left, right)"),
    ("border", FEATURES, zero_border(FEATURES, 0, 1, 0, 1), "within 1 pixels of the border (bottom, right)"),
    ("border", FEATURES, zero_border(FEATURES, 2, 0, 0, 0), "within 2 pixels of the border (top)"),
    ("missing ReLU", POSITIVE, FEATURES, "negative"),
    ("added ReLU", FEATURES, POSITIVE, "negative"),
    ("moved by whole pixels", FEATURES, np.roll(FEATURES, (1, -2), (2, 3)), "+1 down and -2 to the right"),
    ("all zero", FEATURES, np.zeros_like(FEATURES), "the reference reaches"),
    ("constant", FEATURES, np.full_like(FEATURES, 0.5), "0.5; the reference has"),
    ("equal", FEATURES, FEATURES.copy(), ""),
]


@pytest.mark.parametrize("name, reference, other, detail", PLANTED)
def test_what_is_planted_is_named(name, reference, other, detail):
    found = pattern(reference, other)
    assert found.name == name
    assert detail in found.detail
    # Rounding of another implementation does not hide it.
    if name not in ("equal", "all zero", "constant"):
        rounded = other + 1e-6 * np.abs(other).max() * RNG.normal(size=other.shape).astype(np.float32)
        if name in ("missing ReLU", "added ReLU"):
            rounded = np.where(other == 0, 0, rounded)
        assert pattern(reference, rounded).name == name


def test_colours_exchanged_before_the_normalisation():
    mean, deviation = np.float32([123.7, 116.8, 103.9])[:, None, None], np.float32([58.4, 57.1, 57.4])[:, None, None]
    picture = RNG.uniform(0, 200, size=(1, 32, 32)) + RNG.uniform(0, 55, size=(3, 32, 32))
    normalised, exchanged = (picture - mean) / deviation, (picture[::-1] - mean) / deviation
    for reference, other in ((normalised, exchanged), (normalised[None], exchanged[None])):
        found = pattern(reference, other)
        assert found.name == "channels permuted"
        assert "[2, 1, 0]" in found.detail


def test_channels_permuted_among_dead_ones():
    reference = FEATURES.copy()
    reference[:, [0, 2, 5]] = 0
    other = reference[:, [0, 3, 2, 1, 4, 5, 6, 7]]
    found = pattern(reference, other)
    assert (found.name, found.detail) == ("channels permuted", "[0, 3, 2, 1, 4, 5, 6, 7] of the reference's, axis 1")


def test_anchors_in_another_order_are_found_among_thousands():
    priors = RNG.uniform(size=(1, 5000, 4)).astype(np.float32)
    other = priors.reshape(1, 1000, 5, 4).swapaxes(1, 2).reshape(1, 5000, 4)
    found = pattern(priors, other)
    assert found.name == "channels permuted"
    assert found.detail.endswith("1 is the reference's 5, axis 1")


def test_a_norm_with_another_epsilon():
    variance = RNG.uniform(0.001, 0.1, size=(8, 1, 1))
    found = pattern(FEATURES / np.sqrt(variance + 1e-5), FEATURES / np.sqrt(variance + 1e-3))
    assert found.name == "scale by channel"
    assert "epsilon" in usual_causes(found.name, "BatchNorm", "backbone.bn1")[0]


def test_near_misses_stay_noise():
    noise = RNG.normal(size=FEATURES.shape)
    middle = FEATURES.copy()
    middle[..., 6:10, 4:8] = 0
    some = FEATURES.copy()
    some[:, :4] += 0.3 * noise[:, :4]
    for other in (
        noise,
        FEATURES + 0.1 * noise,
        1.3 * FEATURES + 0.3 * noise,
        FEATURES[:, ::-1] + noise,
        np.where(FEATURES < -1, 0, FEATURES),  # clipped, but not at zero
        FEATURES**3,
        0.01 * noise,  # unrelated and far smaller: no scale
        100 + noise,  # unrelated and far off: no shift
        np.roll(FEATURES, 5, 3),
        middle,
        some,
    ):
        found = pattern(FEATURES, other)
        assert found.name == "noise", (found, other.shape)
        assert "instead of" in found.detail


@pytest.mark.parametrize(
    "shape", [(4,), (8,), (30,), (2, 2), (4, 4), (2, 8), (16, 3), (1, 100, 4), (1, 6, 2), (8, 4, 3, 3), (1, 4, 8, 8)]
)
def test_noise_is_given_no_rule_in_any_shape(shape):
    for seed in range(20):
        rng = np.random.default_rng(seed)
        reference = rng.normal(size=shape)
        for level in (0.01, 1.0, 10.0):
            assert pattern(reference, reference + level * rng.normal(size=shape)).name == "noise"


def test_of_one_value_the_scale_is_told_or_the_shift_where_there_is_none():
    assert pattern(np.float32(2), np.float32(3)).detail == "1.5 times the reference"
    assert pattern(np.zeros((1, 1, 1, 1)), np.full((1, 1, 1, 1), 0.25)).detail == "the reference +0.25"
    assert pattern(np.float32(2), np.float32(0)).name == "all zero"


def test_arrays_without_extent():
    assert pattern(np.zeros((0, 4)), np.zeros((0, 4))).name == "equal"
    assert pattern(np.full((2, 3, 9, 9), 4.0), np.full((2, 3, 9, 9), 5.0)).name == "scale"
    assert pattern(np.zeros((2, 3, 9, 9)), np.full((2, 3, 9, 9), 5.0)).name == "shift"
    assert pattern(np.array([True, False]), np.array([False, True])).name == "noise"
    with pytest.raises(ValueError, match="shape"):
        pattern(np.zeros(3), np.zeros(4))


def test_what_is_not_finite_is_counted_and_placed():
    broken = FEATURES.copy()
    broken[0, 2, 3, 4], broken[1, 0, 0, 0] = np.nan, -np.inf
    found = pattern(FEATURES, broken)
    assert (found.name, found.detail) == ("not finite", "1 NaN and 1 infinite of 3072, the first at (0, 2, 3, 4)")
    assert "of the reference" in pattern(broken, FEATURES).detail


def test_every_pattern_has_a_line_and_every_cause_a_pattern():
    assert {name for name, *_ in PLANTED} < set(PATTERNS)
    causes = [place for table in (CAUSES, NAMED) for place in table.values()]
    assert {name for place in causes for name in place} - {""} <= set(PATTERNS)
    texts = [*PATTERNS.values(), *(text for place in causes for text in place.values())]
    assert all(text and "\n" not in text for text in texts)


@pytest.mark.parametrize(
    "found, kind, name, word",
    [
        ("scale by channel", "BatchNorm2d", "backbone.bn1", "variance"),
        ("noise", "FrozenBatchNorm", "backbone.bn1", "one side"),
        ("noise", "SyncBatchNorm", "box_heads.0.bn1", "fill it up"),
        ("scale by channel", "SyncBatchNorm", "box_heads.0.bn1", "variance"),
        ("noise", "LayerNorm", "backbone.norm1", "epsilon"),
        ("shift by channel", "LayerNorm", "backbone.norm1", "bias"),
        ("noise", "WindowAttention", "backbone.layer1.blocks.0.attn", "mask"),
        ("noise", "Mlp", "backbone.layer1.blocks.0.mlp", "erf"),
        ("noise", "PatchMerging", "backbone.layer2.downsample", "corners"),
        ("noise", "input", "input of backbone.layer1.blocks.0.attn.proj", "relative positions"),
        ("noise", "input", "input of backbone.layer1.blocks.0.mlp.fc2", "erf"),
        ("channels permuted", "input", "input of backbone.layer2.downsample.norm@2", "rows change before"),
        ("noise", "input", "input of box_heads.1", "coder's weights"),
        ("noise", "choice", "proposals2.boxes", "the stage before"),
        ("shift by channel", "stage", "rois_s2", "+1"),
        ("border", "DeformConv", "backbone.layer2.0.conv2", "beyond the picture"),
        ("noise", "DeformConv", "backbone.layer2.0.conv2", "offsets"),
        ("border", "Conv", "backbone.conv1", "padding"),
        ("noise", "Conv", "somebodys.boxes", "dilation"),
        ("missing ReLU", "input", "input of proto_net.conv4", "activation"),
        ("noise", "input", "input of proto_net.conv4", "align_corners"),
        ("noise", "Linear", "box_head.fc1", "transposed"),
        ("channels permuted", "preprocessing", "preprocessing", "BGR"),
        ("noise", "stage", "priors", "floor for round"),
        ("transposed", "weight", "fc.weight", "(in, out)"),
        ("scale", "weight", "backbone.bn1.running_var", "biased"),
        ("missing", "loss", "loss.S", "left out"),
        ("scale", "loss", "loss.S", "weight"),
        ("missing", "gradient", "backbone.conv1.weight", "frozen"),
        ("scale", "update", "head.box.weight", "learning rate"),
        ("shift by channel", "result", "boxes", "+1"),
        ("noise", "SomebodysOwn", "body.3", "its parts"),
        ("a new pattern", "a new kind", "", "its parts"),
        ("noise", "Conv2d", "stem.conv", "`same`"),
        ("noise", "MaxPool2d", "stem.pool", "the maximum for the mean"),
        ("scale and shift by channel", "LayerNorm", "norm1", "exchanged"),
        ("scale", "update", "bn1.running_mean", "momentum"),
        ("shift", "update", "bn1.moving_variance", "momentum"),
        ("shift by channel", "Linear", "fc", "the bias"),
    ],
)
def test_the_usual_cause_follows_from_pattern_kind_and_name(found, kind, name, word):
    causes = usual_causes(found, kind, name)
    assert word in causes[0]
    assert len(set(causes)) == len(causes) <= 2


def test_what_is_added_to_images_that_are_alike_is_no_factor():
    """Four images of nearly equal features: a class's score is nearly the same number in each."""
    scores = RNG.normal(size=10) + 0.02 * RNG.normal(size=(4, 10))
    assert pattern(scores, scores + RNG.normal(size=10)).name == "shift by channel"
    assert pattern(scores, scores * RNG.normal(size=10)).name == "scale by channel"
