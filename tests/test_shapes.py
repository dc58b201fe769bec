"""Every parameter has the same name and shape in the three wings, and the same ones are trained."""

import json
import subprocess
import sys

import pytest

from common.models import load_settings

pytestmark = pytest.mark.slow

MODELS = ["yolact_tiny", "yolact_resnet50", "yolact_darknet53", "yolact_plus_resnet50", "pose2seg_tiny"]
DESCRIBE = """
import importlib, json, sys
from common.models import load_settings
learner = importlib.import_module(sys.argv[1] + "_impl.learner").Learner
found = {}
for model in sys.argv[2:]:
    network = learner(load_settings(model), "cpu", training=True)
    found[model] = {"shapes": network.shapes(), "trainable": sorted(network.trainable())}
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def described() -> dict[str, dict]:
    """framework -> model -> its shapes and trainable names; each framework in a process of its own."""
    found = {}
    for framework in ("torch", "jittor", "mindspore"):
        command = [sys.executable, "-c", DESCRIBE, framework, *MODELS]
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
        assert answer.returncode == 0, answer.stderr[-2000:]
        found[framework] = json.loads(answer.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("framework", ["jittor", "mindspore"])
def test_parameters_are_the_same(described, framework, model):
    ours, torch = described[framework][model], described["torch"][model]
    assert ours["shapes"] == torch["shapes"]
    assert ours["trainable"] == torch["trainable"]


def test_the_shapes_are_those_of_the_settings(described):
    settings = load_settings("yolact_tiny")
    shapes = described["torch"]["yolact_tiny"]["shapes"]
    ratios = len(settings.network.prior_ratios) * len(settings.network.prior_scales[0])
    assert shapes["head.classes.weight"][0] == ratios * (settings.num_classes + 1)
    assert shapes["head.coefficients.weight"][0] == ratios * settings.network.prototypes
    assert shapes["semantic.weight"] == [settings.num_classes, settings.network.channels, 1, 1]
