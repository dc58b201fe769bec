"""Planted faults in a port's weights: each is named, by array and by what is wrong, and nothing else is."""

import numpy as np
import pytest

from benchmarks.foreign.weights import compare_weights
from common.models import load_settings
from tests.weights_convert.small_cascades import FEW, SWIN, draw
from weights_convert.conversion import formats

BLOCK = "backbone.{stages}.2.blocks.0"
QKV, PROJ = f"{BLOCK}.{{attn}}.qkv.weight", f"{BLOCK}.{{attn}}.proj.weight"
NORM1, NORM2 = f"{BLOCK}.norm1.weight", f"{BLOCK}.norm2.weight"
FC1 = "roi_head.bbox_head.0.shared_fcs.0.weight"
MICROSOFT, MMDETECTION = {"stages": "layers", "attn": "attn"}, {"stages": "stages", "attn": "attn.w_msa"}


def exchange(names):
    def change(weights):
        return {first: weights[second] for first, second in zip(names, names[::-1], strict=True)}

    return change


def replace(name, change):
    return lambda weights: {name: change(weights[name])}


# What is done, the arrays that are named, and what is said of each.
FAULTS = {
    "scaled": (lambda n: replace(n[0], lambda a: a * 1.5), [NORM1], "scale: 1.5 times"),
    "weight and bias exchanged": (exchange, [NORM1, NORM1.replace("weight", "bias")], "it holds the reference's"),
    "two layers exchanged": (exchange, [NORM1, NORM2], "it holds the reference's"),
    "two blocks exchanged": (exchange, [NORM1, NORM1.replace("2.blocks.0", "2.blocks.1")], "it holds the reference's"),
    "loaded twice": (
        lambda n: lambda w: {n[0]: w[n[0].replace("norm1", "norm2")]},
        [NORM1],
        "numbers of another array: it holds the reference's backbone.layers.2.blocks.0.norm2.weight",
    ),
    "not loaded": (lambda n: replace(n[0], np.ones_like), [NORM1], "constant: 1"),
    "drawn afresh": (
        lambda n: replace(n[0], lambda a: np.random.default_rng(3).standard_normal(a.shape, np.float32)),
        [QKV],
        "unrelated",
    ),
    "k q v": (
        lambda n: replace(n[0], lambda a: np.concatenate([a[32:64], a[:32], a[64:]])),
        [QKV],
        "in another order: the reference's 3 blocks of axis 0 stand in the places 2, 1, 3",
    ),
    "square, transposed": (
        lambda n: replace(n[0], lambda a: a.T),
        [PROJ],
        "transposed, where the others are as they are",
    ),
    "kernel flipped": (
        lambda n: replace(n[0], lambda a: a[:, :, ::-1]),
        ["backbone.patch_embed.proj.weight"],
        "in another order: axis 2 runs backwards",
    ),
    "channels shuffled": (
        lambda n: replace(n[0], lambda a: a[[2, 0, 1, 5, 4, 3]]),
        [FC1],
        "entries of axis 0 stand elsewhere, by no simple rule",
    ),
    "one row": (
        lambda n: replace(n[0], lambda a: np.concatenate([a[:5], a[5:] + 1])),
        [FC1],
        "in 1 of 6 rows",
    ),
    "reshaped, not transposed": (
        lambda n: replace(n[0], lambda a: a.reshape(a.shape[::-1])),
        [FC1],
        "its numbers were put into another shape, where its axes should have been exchanged",
    ),
    "NaN": (lambda n: replace(n[0], lambda a: np.where(a > 0, np.nan, a)), [NORM1], "not finite"),
    "other classes": (lambda n: replace(n[0], lambda a: a[1:]), [FC1], "5 of its 5 rows are the reference's"),
    "some numbers": (
        lambda n: replace(n[0], lambda a: np.where(np.arange(a.size).reshape(a.shape) % 99 == 98, a * a + 3, a)),
        [QKV],
        "1% of the numbers differ, most at (",
    ),
}


@pytest.fixture(scope="module")
def detector():
    """A detector with a Swin as Microsoft's repository keeps it, and as mmdetection does."""
    settings = load_settings("cascade_mask_rcnn_swin_t", [SWIN.replace("[1, 2, 2, 1]", "[1, 1, 2, 1]"), *FEW])
    microsoft = draw(settings, "swin_detection")
    canonical = formats()["swin_detection"].read(microsoft, settings, "m")
    return microsoft, formats()["mmdetection"].write(canonical, settings, "m")


@pytest.mark.parametrize("port", ["same names", "other names"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named(detector, port, fault):
    plant, templates, words = FAULTS[fault]
    spelling = MICROSOFT if port == "same names" else MMDETECTION
    other = dict(detector[port == "other names"])
    names = [template.format(**spelling) for template in templates]
    if port == "other names":
        names = [name.replace("patch_embed.proj.", "patch_embed.projection.") for name in names]
    other |= plant(names)(other)
    departing = [each for each in compare_weights(detector[0], other) if each.departs]
    assert [each.ours for each in departing] == [(template.format(**MICROSOFT),) for template in templates]
    assert {each.theirs[0] for each in departing} == set(names)
    assert all(words in f"{each.pattern}: {each.detail}" for each in departing)


def test_a_wrong_part_of_a_joined_array_is_named_with_it(detector):
    reference, name = detector[0], QKV.format(**MICROSOFT)
    parts = np.split(reference[name], 3)
    for change, words in (
        (lambda q, k, v: (q, k * 2, v), "scale"),
        (lambda q, k, v: (k, q, v), "in another order: the reference's 3 blocks of axis 0 stand in the places 2, 1, 3"),
    ):
        split = [f"layer.attention.self.{word}.weight" for word in ("query", "key", "value")]
        other = {key: array for key, array in reference.items() if key != name}
        other |= dict(zip(split, change(*parts), strict=True))
        (found,) = [each for each in compare_weights(reference, other) if each.departs]
        assert (found.ours, found.theirs) == ((name,), tuple(split))
        assert words in f"{found.pattern}: {found.detail}"


def test_what_has_no_partner_is_named(detector):
    other = dict(detector[1])
    del other["backbone.norm2.bias"]
    other["extra.head.weight"] = np.arange(9, dtype=np.float32)
    departing = {
        (each.verdict, *each.ours, *each.theirs) for each in compare_weights(detector[0], other) if each.departs
    }
    assert departing == {("missing", "backbone.norm2.bias"), ("extra", "extra.head.weight")}


def test_squares_that_stayed_where_all_others_are_transposed_are_named(detector):
    """As in a framework that keeps linear layers the other way round."""
    other = {name: array.T if array.ndim == 2 and "table" not in name else array for name, array in detector[0].items()}
    assert not [each for each in compare_weights(detector[0], other) if each.departs]
    name = PROJ.format(**MICROSOFT)
    (found,) = [each for each in compare_weights(detector[0], other | {name: detector[0][name]}) if each.departs]
    assert found.ours == (name,) and found.detail == "its axes as they are, where the others are transposed"


def test_arrays_of_one_shape_alone_are_no_partners(detector):
    """Where the files do not have equally many of a shape."""
    rng = np.random.default_rng(5)
    other = {f"x{number}": rng.standard_normal((8,)).astype(np.float32) for number in range(3)}
    found = compare_weights(detector[0], other | {"y": rng.standard_normal((200, 3)).astype(np.float32)})
    assert not [each for each in found if each.ours and each.theirs]
    nearly = {"x": detector[0]["backbone.layers.0.downsample.norm.weight"] + np.float32(0.01)}
    (pair,) = [each for each in compare_weights(detector[0], nearly) if each.ours and each.theirs]
    assert (pair.ours, pair.way) == (("backbone.layers.0.downsample.norm.weight",), "shape and order")
    assert pair.pattern == "shift"


@pytest.mark.parametrize("prefix", ["module.", "module.backbone.", "detector.trunk."])
def test_names_behind_a_prefix_are_paired_when_their_numbers_differ(detector, prefix):
    other = {f"{prefix}{name}": array + array.dtype.type(1) for name, array in detector[0].items()}
    found = compare_weights(detector[0], other)
    assert {each.way for each in found} == {"similar name"}
    assert all(each.theirs == (f"{prefix}{each.ours[0]}",) for each in found)
    assert {each.pattern for each in found if each.departs} <= {"shift", "noise"}


def test_numbers_without_an_axis_differ():
    pair = {"scale": np.array(2.0, np.float32), "more": np.array([1.5], np.float32)}
    other = {"scale": np.array(3.0, np.float32), "more": np.array(2.5, np.float32)}
    assert [each.pattern for each in compare_weights(pair, other)] == ["scale", "scale"]


@pytest.mark.parametrize("axes", [(1, 0, 2, 3), (0, 1, 3, 2)])
@pytest.mark.parametrize("kept", [(0, 1, 2, 3), (2, 3, 1, 0)])
def test_a_kernel_whose_axes_stand_otherwise_than_all_others_is_named(axes, kept):
    rng = np.random.default_rng(0)
    shapes = {"stem.weight": (8, 3, 3, 3), "conv.weight": (8, 8, 3, 3), "last.weight": (4, 8, 3, 3)}
    reference = {name: rng.standard_normal(shape, np.float32) for name, shape in shapes.items()}
    other = {name: array.transpose(kept) for name, array in reference.items()}
    assert not [each for each in compare_weights(reference, other) if each.departs]
    other["conv.weight"] = reference["conv.weight"].transpose(axes).transpose(kept)
    (found,) = [each for each in compare_weights(reference, other) if each.departs]
    assert (found.ours, found.pattern) == (("conv.weight",), "axes exchanged")
