"""What an observer sees of a network that runs, and what it can change."""

import importlib
import os

import numpy as np
import pytest

from common.array import namespace
from common.models import initial_weights, load_settings
from common.observing import Outputs, arrays_in, replaced


@pytest.fixture(scope="module")
def learner(wing):
    learner = wing("learner").Learner(load_settings("yolact_tiny"), "cpu")
    learner.load_weights(initial_weights(learner.shapes(), learner.settings, 0))
    return learner


@pytest.fixture(scope="module")
def inputs():
    return {"image": np.random.default_rng(0).standard_normal((1, 3, 128, 128)).astype(np.float32)}


class Doubled(Outputs):
    """Gives the pyramid features twice as large, and ones in place of what it makes of them."""

    def watches(self, path):
        return path == "fpn"

    def entering(self, path, kind, value):
        super().entering(path, kind, value)
        assert kind == "FPN"
        return replaced(value, (array * 2 for _, array in arrays_in(value)))

    def leaving(self, path, kind, value):
        super().leaving(path, kind, value)
        return replaced(value, (namespace(array).full(array.shape, 1, array) for _, array in arrays_in(value)))


def test_every_call_is_seen_by_its_name(learner, inputs):
    seen = Outputs()
    stages = learner.trace(inputs, seen)
    assert list(seen.arrays)[:2] == ["backbone.conv1", "backbone.bn1"]
    calls = [name for name in seen.arrays if name.startswith("head.trunk")]
    assert calls == ["head.trunk", "head.trunk@1", "head.trunk@2", "head.trunk@3", "head.trunk@4"]
    pyramid = {name: array for name, array in seen.arrays.items() if name.startswith("fpn/")}
    for level, (name, array) in enumerate(pyramid.items()):
        assert name == f"fpn/{level}"
        np.testing.assert_array_equal(array, stages[f"p{level + 3}"])


def test_values_can_be_put_in_place(learner, inputs):
    before, changed = Outputs(), Doubled()
    learner.trace(inputs, before)
    stages = learner.trace(inputs, changed)
    assert (stages["p5"] == 1).all()
    # What the pyramid made of doubled features; its biases are zero.
    np.testing.assert_allclose(changed.arrays["fpn/0"], 2 * before.arrays["fpn/0"], rtol=1e-4, atol=1e-4)


def test_nothing_stays_behind(learner, inputs):
    changed = Doubled()
    learner.trace(inputs, changed)
    seen = dict(changed.arrays)
    assert not (learner.trace(inputs)["p5"] == 1).any()
    assert all(seen[name] is changed.arrays[name] for name in seen)


def test_a_module_may_be_called_by_name_and_answer_with_more_than_arrays(framework, wing, xp, like):
    nn = importlib.import_module(f"{framework}.nn")
    base, call = {
        "torch": ("Module", "forward"),
        "jittor": ("Module", "execute"),
        "mindspore": ("Cell", "construct"),
    }[framework]

    def answer(self, features):
        return features * 2, None, {"stride": 8, "half": features / 2}

    def whole(self, image):
        return self.part(features=image)[0]

    network = type("Whole", (getattr(nn, base),), {call: whole})()
    network.part = type("Part", (getattr(nn, base),), {call: answer})()
    seen = Outputs()
    with wing("observing").observed(network, seen):
        network(xp.full((2, 3), 1.0, like))
    assert {name: array.tolist() for name, array in seen.arrays.items()} == {
        "part/0": [[2.0] * 3] * 2,
        "part/2/half": [[0.5] * 3] * 2,
    }
    assert seen.kinds == dict.fromkeys(seen.arrays, "Part")


def test_modules_run_as_themselves_within_nested_blocks_and_settings_come_back(wing, monkeypatch):
    """MindSpore's switch MS_JIT, which the user may have set, is as it was."""
    layers = wing("layers")
    for setting in (None, "1", "0"):
        monkeypatch.delenv("MS_JIT", raising=False)
        if setting is not None:
            monkeypatch.setenv("MS_JIT", setting)
        with layers.unfolded():
            with layers.unfolded():
                assert not layers._folding
            assert not layers._folding
        assert layers._folding and os.environ.get("MS_JIT") == setting
