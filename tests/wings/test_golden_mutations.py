"""The golden cases can fail: one weight changed, two channels swapped or one key dropped, and the runner says so."""

from pathlib import Path

import pytest

from common.errors import UserError
from tests.goldens import golden, runner

CASE = Path(golden.__file__).parent / "yolact_tiny"


def one_weight(weights):
    weights["fpn.lat_layers.0.weight"][3, 5] += 1.0


def two_channels(weights):
    rows = weights["prediction_layers.0.bbox_layer.weight"]
    rows[[0, 1]] = rows[[1, 0]]


def one_key(weights):
    del weights["proto_net.8.bias"]


def hold_with(change, monkeypatch, *arguments):
    weights = golden.checkpoint(CASE)
    change(weights)
    monkeypatch.setattr(golden, "checkpoint", lambda case: weights)
    runner.hold(CASE, *arguments)


# An output behind the change, and one that it does not reach.
@pytest.mark.parametrize(
    ("change", "hit", "spared"),
    [(one_weight, "p5", "priors"), pytest.param(two_channels, "loc", "p3", marks=pytest.mark.slow)],
)
def test_a_changed_weight_is_named_by_the_outputs_behind_it(
    change, hit, spared, monkeypatch, framework, device_name, xp, like, tmp_path
):
    with pytest.raises(AssertionError, match=rf"yolact_tiny in {framework}: .*\b{hit}: ") as caught:
        hold_with(change, monkeypatch, framework, device_name, xp, like, tmp_path)
    assert f"{spared}: " not in str(caught.value)


def test_a_dropped_key_is_named(monkeypatch, framework, device_name, xp, like, tmp_path):
    with pytest.raises(UserError, match=r"proto_net\.8\.bias"):
        hold_with(one_key, monkeypatch, framework, device_name, xp, like, tmp_path)
