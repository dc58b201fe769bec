"""Equal weights in the forms that frameworks and upstreams give them: each is known for what it is."""

from collections import Counter

import numpy as np
import pytest

from benchmarks.foreign.weights import compare_weights
from common.models import load_settings
from tests.weights_convert import test_mask2former as mask2former
from tests.weights_convert.originals import canonical_shapes, to_original
from tests.weights_convert.small_cascades import FEW, SWIN, draw
from tests.weights_convert.test_mindspore_zoo import SMALL as ZOO
from weights_convert import family_of
from weights_convert.conversion import formats

MERGING = "goes channel by channel, as unfolding gives it, the reference's token by token"
STATISTICS = ("weight", "bias", "running_mean", "running_var")


def drawn(shapes: dict[str, tuple[int, ...]], seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    weights = {name: rng.standard_normal(shape, np.float32) for name, shape in shapes.items()}
    return {name: np.abs(array) + 0.1 if name.endswith("var") else array for name, array in weights.items()}


@pytest.fixture(scope="module")
def swins():
    """A detector with a Swin as Microsoft, mmdetection, MindSpore and the project itself keep it."""
    settings = load_settings("cascade_mask_rcnn_swin_t", [SWIN, *FEW])
    microsoft = draw(settings, "swin_detection")
    canonical = formats()["swin_detection"].read(microsoft, settings, "m")
    others = {name: formats()[name].write(canonical, settings, "m") for name in ("mmdetection", "mindspore")}
    return {"microsoft": microsoft, "canonical": canonical, **others}


@pytest.fixture
def network():
    """A convolution with a norm, an attention, and a linear layer on a flattened map of 2 x 3 x 4."""
    shapes = {"conv.weight": (8, 3, 5, 5), "conv.bias": (8,), **{f"norm.{leaf}": (8,) for leaf in STATISTICS}}
    shapes |= {"attn.qkv.weight": (24, 8), "attn.qkv.bias": (24,), "attn.proj.weight": (8, 8), "attn.proj.bias": (8,)}
    return drawn(shapes | {"fc.weight": (12, 24), "fc.bias": (12,), "head.weight": (5, 12)})


def departures(found):
    return [each for each in found if each.departs]


@pytest.mark.parametrize("first", ["microsoft", "canonical", "mmdetection", "mindspore"])
@pytest.mark.parametrize("second", ["microsoft", "canonical", "mmdetection", "mindspore"])
def test_a_swin_is_the_same_in_every_upstreams_form(swins, first, second):
    found = compare_weights(swins[first], swins[second])
    assert not departures(found)
    merged = [each for each in found if "merging" in each.form]
    assert len(merged) == (9 if first != second and "mmdetection" in (first, second) else 0)
    if second == "mmdetection" != first:
        assert {each.form for each in merged} == {f"merging: axis {axis} {MERGING}" for axis in (0, 1)}
    left_out = {name for each in found if each.verdict == "left out" for name in each.ours + each.theirs}
    assert all(name.endswith(("num_batches_tracked", "relative_position_index")) for name in left_out)


def test_names_that_mean_another_array_elsewhere_do_not_mislead(swins):
    """Microsoft's norm1 is the canonical norm2, and both files have a norm1."""
    found = compare_weights(swins["canonical"], swins["microsoft"])
    partners = {each.ours[0]: each.theirs[0] for each in found if each.ours and each.theirs}
    assert [partners[f"backbone.norm{number}.bias"][-6] for number in (1, 2, 3, 4)] == ["0", "1", "2", "3"]


def test_queries_keys_and_values_are_joined_and_split():
    settings = mask2former.small("mask2former_swin_t")
    files = {name: mask2former.drawn(settings, name)[0] for name in family_of(settings).layouts(settings)}
    for name, array in files.items():
        files[name] = {key: value for key, value in array.items() if key != "criterion.empty_weight"}
    split = compare_weights(files["mmdetection"], files["transformers"])
    joined = compare_weights(files["transformers"], files["mmdetection"])
    assert not departures(split) and not departures(joined)
    assert Counter(each.form for each in split if len(each.theirs) == 3) == {"split along axis 0": 42}
    assert Counter(each.form for each in joined if len(each.ours) == 3) == {"joined along axis 0": 42}


def test_mindspores_zoo_transposes_and_repeats():
    canonical = drawn(canonical_shapes(ZOO))
    zoo = to_original(canonical, ZOO, "zoo")
    zoo |= {"rpn_with_loss.rpn_convs_list.1.rpn_conv.weight": zoo["rpn_with_loss.rpn_convs_list.0.rpn_conv.weight"]}
    zoo |= {"moments.backbone.conv1.weight": np.ones(3), "learning_rate": np.ones(())}
    found = compare_weights(canonical, {name: array for name, array in zoo.items() if "rcnn_mask." not in name})
    assert not departures(found)
    assert sum("transposed" in each.form for each in found) == 4
    assert sum("unit axes" in each.form for each in found) == 4
    reasons = {each.detail for each in found if each.verdict == "left out"}
    assert reasons == {"the optimizer's", "repeats rpn_with_loss.rpn_convs_list.0.rpn_conv.weight"}


FORMS = {  # what is done to one array, and the form that is told
    "HWIO": ("conv.weight", lambda a: a.transpose(2, 3, 1, 0), "axes stored as HWIO, the reference's as OIHW"),
    "transposed": ("fc.weight", lambda a: a.T, "transposed"),
    "flattened": ("conv.weight", lambda a: a.reshape(8, 75), "(8, 75) for (8, 3, 5, 5)"),
    "unit axes": ("fc.weight", lambda a: a[:, :, None, None], "(12, 24, 1, 1) for (12, 24), unit axes"),
    "BGR": ("conv.weight", lambda a: a[:, ::-1], "the image's channels stand in the reverse order (RGB, BGR)"),
    "BGR, HWIO": (
        "conv.weight",
        lambda a: a[:, ::-1].transpose(2, 3, 1, 0),
        "axes stored as HWIO, the reference's as OIHW; the image's channels stand in the reverse order (RGB, BGR)",
    ),
    "channels last": (
        "fc.weight",
        lambda a: a.reshape(12, 2, 12).swapaxes(1, 2).reshape(12, 24),
        "axis 1 goes as (12, 2), the reference's as (2, 12)",
    ),
    "by head": (
        "attn.qkv.weight",
        lambda a: a.reshape(3, 2, 4, 8).swapaxes(0, 1).reshape(24, 8),
        "axis 0 goes as (2, 3, 4), the reference's as (3, 2, 4)",
    ),
    "background last": ("head.weight", lambda a: np.roll(a, -1, 0), "the first entry of axis 0 stands last"),
    "x and y": ("attn.proj.bias", lambda a: a.reshape(-1, 2)[:, ::-1].ravel(), "each two neighbours along axis 0"),
    "half": ("fc.bias", lambda a: a.astype(np.float64) + 1e-12, "rounded to float32"),
    "rounded": ("fc.bias", lambda a: a * np.float32(1 + 2e-7), "but for rounding"),
}


@pytest.mark.parametrize("are_named_otherwise", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_a_form_is_told(network, form, are_named_otherwise):
    name, change, words = FORMS[form]
    other = network | {name: change(network[name])}
    if are_named_otherwise:
        other = {f"x{number}": array for number, array in enumerate(other.values())}
    found = {each.ours[0]: each for each in compare_weights(network, other)}
    assert not departures(found.values())
    assert found[name].verdict == "equal in another form" and found[name].form.startswith(words)
    assert bool(found[name].conditions) == (form.partition(",")[0] in ("BGR", "background last", "x and y"))
    assert {each.verdict for key, each in found.items() if key != name} == {"equal"}


@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
def test_a_copy_of_fewer_digits_is_known_under_any_names(network, kind):
    rounded = {name: array.astype(np.float16) for name, array in network.items()}
    if kind == "bfloat16":  # as a reader gives it
        rounded = {n: (a.view(np.uint32) + 0x8000 & 0xFFFF0000).view(np.float32) for n, a in network.items()}
    found = compare_weights(network, {f"x{number}": array for number, array in enumerate(rounded.values())})
    assert {(each.way, each.form) for each in found} == {("content", f"rounded to {kind}")}


def folded(network, epsilon, with_bias):
    scale = network["norm.weight"] / np.sqrt(network["norm.running_var"] + epsilon)
    mean = network["norm.running_mean"] - (network["conv.bias"] if with_bias else 0)
    return scale, network["norm.bias"] - mean * scale


@pytest.mark.parametrize("epsilon", [1e-5, 1e-3])
@pytest.mark.parametrize("with_bias", [False, True])
def test_a_norm_folded_into_its_convolution(network, epsilon, with_bias):
    if not with_bias:
        del network["conv.bias"]
    scale, shift = folded(network, epsilon, with_bias)
    rest = {name: array for name, array in network.items() if not name.startswith(("conv.", "norm."))}
    other = {"stem.weight": network["conv.weight"] * scale[:, None, None, None], "stem.bias": shift, **rest}
    for found in (compare_weights(network, other), compare_weights(other, network)):
        assert not departures(found)
        (norm,) = [each for each in found if "folded" in each.form]
        assert f"epsilon {epsilon:g}, into its convolution" in norm.form
        assert {len(norm.ours), len(norm.theirs)} == {2, 5 + with_bias}


def test_a_norm_without_statistics(network):
    scale, shift = folded(network, 1e-5, False)
    neutral = {"norm.running_mean": np.zeros(8, np.float32), "norm.running_var": np.ones(8, np.float32)}
    for statistics in ({}, neutral):
        other = {name: array for name, array in network.items() if not name.startswith("norm.")}
        found = compare_weights(network, other | {"norm.weight": scale, "norm.bias": shift} | statistics)
        assert not departures(found)
        assert [each.form for each in found if each.form] == ["folded: a norm with epsilon 1e-05"]


def test_arrays_of_one_number_find_their_partners(network):
    network |= {f"block{number}.bias": np.zeros(7, np.float32) for number in range(3)}
    network |= {f"block{number}.weight": np.full((7, 2), number + 1, np.float32) for number in range(3)}
    assert not departures(compare_weights(network, {f"module.{name}": array for name, array in network.items()}))
    other = {name: array for name, array in network.items() if name != "block1.bias"}
    (left_out,) = [each for each in compare_weights(network, other) if each.verdict != "equal"]
    assert (left_out.verdict, left_out.detail) == ("left out", "a bias of zeros")
