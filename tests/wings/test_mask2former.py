"""Mask2Former's network: its layers against plain NumPy, what a query sees, and where gradients flow."""

from dataclasses import replace

import numpy as np
import pytest

from common.array import namespace
from common.errors import UserError
from common.models import load_settings
from tests.goldens import golden
from tests.wings.test_backbones import assert_same, fill

SETTINGS = load_settings("mask2former_tiny")
IMAGES = golden.image(4, (2, 3, 64, 96))


def linear(x, weights, name, rows=slice(None)):
    return x @ weights[f"{name}.weight"][rows].T + weights[f"{name}.bias"][rows]


def attended(queries, keys, values, weights, heads, hidden):
    """Attention in several heads, one query and one head at a time."""
    channels = queries.shape[-1]
    parts = [slice(part * channels, (part + 1) * channels) for part in range(3)]
    q, k, v = (linear(x, weights, "in_proj", rows) for x, rows in zip((queries, keys, values), parts, strict=True))
    found = np.zeros_like(q)
    for image, query in np.ndindex(*q.shape[:2]):
        seen = ~hidden[image, query]
        for head in range(heads):
            own = slice(head * channels // heads, (head + 1) * channels // heads)
            shares = np.exp(k[image, seen][:, own] @ q[image, query, own] / np.sqrt(channels / heads))
            found[image, query, own] = shares @ v[image, seen][:, own] / shares.sum()
    return linear(found, weights, "out_proj")


@pytest.fixture
def learner(wing):
    """A learner of the tiny network for training, with the golden rule's weights."""
    made = wing("learner").Learner(SETTINGS, "cpu", training=True)
    made.load_weights({name: golden.weight(name, shape) for name, shape in made.shapes().items()})
    return made


@pytest.fixture
def network(learner, framework):
    """The same network as it predicts."""
    learner.network.set_train(False) if framework == "mindspore" else learner.network.eval()
    return learner.network


@pytest.mark.parametrize("tokens", [1, 7, 40])
def test_attention_of_several_heads(tokens, wing, framework, xp, like):
    layer = wing("layers").MultiHeadAttention(12, 3)
    weights = {name: value.astype(np.float64) for name, value in fill(layer, framework).items()}
    queries, keys, values = (golden.image(seed, (2, 5, 12)) for seed in (1, 2, 3))
    keys, values = (golden.image(seed, (2, tokens, 12)) for seed in (2, 3))
    hidden = golden.image(4, (2, 5, tokens)) < 0
    hidden[..., 0] = False
    arrays = [xp.asarray(x, like) for x in (queries, keys, values)]
    answers = [layer(*arrays, xp.asarray(hidden, like)), layer(*arrays)]
    expected = [attended(queries, keys, values, weights, 3, each) for each in (hidden, np.zeros_like(hidden))]
    assert_same(answers, expected, xp)


def test_group_norm_takes_two_channels_together(wing, framework, xp, like):
    layer = wing("layers").GroupNorm(64)
    weights = {name: value.reshape(-1, 1, 1) for name, value in fill(layer, framework).items()}
    x = golden.image(1, (2, 64, 3, 5)) * np.arange(1, 65, dtype=np.float32).reshape(-1, 1, 1) + 2
    groups = x.astype(np.float64).reshape(2, 32, 2, 3, 5)
    centred = groups - groups.mean((2, 3, 4), keepdims=True)
    normed = centred / np.sqrt((centred**2).mean((2, 3, 4), keepdims=True) + 1e-5)
    expected = normed.reshape(x.shape) * weights["weight"] + weights["bias"]
    assert_same([layer(xp.asarray(x, like))], [expected], xp)


def test_a_query_that_would_see_nothing_sees_all(network, xp, like):
    decoder, channels = network.transformer_decoder, SETTINGS.network.channels
    levels = [xp.asarray(golden.image(side, (1, channels, side, side)), like) for side in (2, 4, 8)]
    features, answers = np.ones((1, channels, 16, 16), np.float32), {}
    for name in ("all", "none", "half"):
        # Of a query's mask every cell has one sign, and the same one for all cells: what is seen is all or nothing.
        features *= -1 if name == "none" else 1
        features[..., :8] *= -1 if name == "half" else 1
        notes = {}
        predictions = decoder(levels, xp.asarray(features, like), False, notes.__setitem__)
        hidden = xp.to_numpy(notes["attn_mask_0"])
        answers[name] = hidden, xp.to_numpy(predictions[1][0])
    hidden = {name: each for name, (each, _) in answers.items()}
    assert np.array_equal(hidden["all"], ~hidden["none"])
    assert hidden["all"].all(2).any() and hidden["none"].all(2).any() and not hidden["half"].all(2).any()
    np.testing.assert_allclose(answers["all"][1], answers["none"][1], rtol=1e-4, atol=1e-5)
    assert np.abs(answers["half"][1] - answers["all"][1]).max() > 1e-3


def test_images_do_not_depend_on_each_other(network, xp, like):
    together = network.predictions(xp.asarray(IMAGES, like))
    for number in range(2):
        alone = network.predictions(xp.asarray(IMAGES[number : number + 1], like))
        for one, both in zip(alone, together, strict=True):
            for x, y in zip(one, both, strict=True):
                np.testing.assert_allclose(xp.to_numpy(x)[0], xp.to_numpy(y)[number], rtol=1e-3, atol=1e-4)


def test_the_last_prediction_by_itself(network, xp, like):
    image = xp.asarray(IMAGES, like)
    everything = network.predictions(image)
    assert len(everything) == SETTINGS.network.decoder_layers + 1
    assert [tuple(x.shape) for x in everything[0]] == [(2, 20, 7), (2, 20, 16, 24)]
    for last, alone in zip(everything[-1], network.predict(image), strict=True):
        np.testing.assert_allclose(xp.to_numpy(last), xp.to_numpy(alone), rtol=1e-5, atol=1e-6)


def test_each_image_has_its_own_scales_of_the_branches(network, xp, like):
    image, blocks = xp.asarray(IMAGES, like), SETTINGS.network.backbone.blocks
    scales = np.ones((2, 2 * blocks), np.float32)
    scales[1, 3] = 0
    plain, scaled = (network.predictions(image, each)[-1][0] for each in (None, xp.asarray(scales, like)))
    difference = np.abs(xp.to_numpy(plain) - xp.to_numpy(scaled)).max((1, 2))
    assert difference[0] < 1e-4 < 1e-3 < difference[1]


@pytest.mark.parametrize("size", [(64, 100), (48, 96), (16, 16)])
def test_other_sides_than_multiples_of_32_are_refused(size, network, xp, like):
    image = xp.asarray(np.zeros((1, 3, *size), np.float32), like)
    for call in (network, network.predictions, network.predict):
        with pytest.raises(UserError, match=rf"image: {size[0]}x{size[1]} pixels; .* multiples of 32"):
            call(image)


def gradients(learner, monkeypatch, chosen):
    """The gradients of the logits' squares, of those that `chosen` takes of all predictions."""

    def losses(network, batch, choose, sum_over_ranks):
        logits = chosen(network.predictions(batch["image"]))
        xp = namespace(logits[0])
        return {str(number): xp.sum(xp.sigmoid(x) * x) for number, x in enumerate(logits)}

    monkeypatch.setattr(learner, "_family", replace(learner._family, losses=losses))
    return learner.gradients({"image": IMAGES})[1]


def test_gradients_reach_every_parameter(learner, monkeypatch):
    found = gradients(learner, monkeypatch, lambda predictions: [x for pair in predictions for x in pair])
    assert all(np.isfinite(each).all() for each in found.values())
    assert [name for name, each in found.items() if not each.any()] == []


def test_no_gradient_flows_through_what_a_query_sees(learner, monkeypatch):
    found = gradients(learner, monkeypatch, lambda predictions: [predictions[-1][0]])
    of_masks = ("transformer_decoder.mask_embed.", "pixel_decoder.mask_features.", "pixel_decoder.output.")
    nothing = {name for name, each in found.items() if not each.any()}
    assert nothing == {name for name in found if name.startswith((*of_masks, "pixel_decoder.lateral."))} | {
        "backbone.norm1.weight",
        "backbone.norm1.bias",
    }
