"""Each framework's own saving and loading of the network, against the converter's files."""

import numpy as np
import pytest

from common.models import load_settings
from common.weights import compare_weights
from weights_convert import read_foreign
from weights_convert.conversion import convert, original_format, target_formats, write
from weights_convert.writers import write_pth

NETWORK = """
from common.models import load_settings
from {framework}_impl.learner import Learner
learner = Learner(load_settings("{model}"), "cpu")
network = learner.network
"""
# How somebody would do it who knows the framework and not this project.
SAVE = {
    "torch": "torch.save(network.state_dict(), 'own.pth')",
    "jittor": "network.save('own.pkl')",
    "mindspore": "mindspore.save_checkpoint(network, 'own.ckpt')",
}
LOAD = {
    "torch": "network.load_state_dict(torch.load('converted.pth', weights_only=True), strict=True)",
    "jittor": "network.load('converted.pkl')",
    "mindspore": """
missing, unexpected = mindspore.load_param_into_net(network, mindspore.load_checkpoint("converted.ckpt"), True)
assert not missing and not unexpected, (missing, unexpected)
""",
}
SUFFIXES = {"torch": ".pth", "jittor": ".pkl", "mindspore": ".ckpt"}


# Of each family the plain network, and the one with every other kind of layer.
MODELS = ["yolact_tiny", "mask_rcnn_tiny", "pose2seg_tiny"]
MODELS += [pytest.param(model, marks=pytest.mark.slow) for model in ("yolact_plus_resnet50", "mask_rcnn_r50_c4")]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("framework", ["torch", "jittor", "mindspore"])
def test_between_a_framework_and_the_converter(run_in, tmp_path, framework, model, draw_original):
    original = draw_original(model)
    write_pth(tmp_path / f"{model}_1_100.pth", original)
    weights, card = convert(tmp_path / f"{model}_1_100.pth")
    write(tmp_path / f"converted{SUFFIXES[framework]}", weights, card, framework)
    see = "np.savez('seen.npz', **learner.weights())"
    run_in(
        framework, "\n".join((NETWORK.format(framework=framework, model=model), LOAD[framework], see, SAVE[framework]))
    )
    assert compare_weights(dict(np.load(tmp_path / "seen.npz")), weights) == ""
    form = original_format(load_settings(model))
    path = tmp_path / f"back{target_formats(model)[form][0]}"
    write(path, *convert(tmp_path / f"own{SUFFIXES[framework]}", model), form)
    back = read_foreign(path)
    assert list(back) == list(original) and compare_weights(back, original) == ""
