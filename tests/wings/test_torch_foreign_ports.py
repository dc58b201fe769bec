"""Two real implementations of one network, ours and that of Hugging Face's transformers: a right port passes, a wrong
one is named where it is wrong.

Their names, their layouts and what they have a module for have nothing in common.
"""

import copy
import re

import numpy as np
import pytest
import torch

from benchmarks.foreign.rules import NO_RULES, Rules
from benchmarks.parity.summary import passed
from common.config import ResNetSettings, SwinSettings
from common.observing import Outputs
from tests.benchmarks.foreign.made_up import Held, judged
from torch_impl.backbones import ResNet
from torch_impl.layers import unfolded
from torch_impl.observing import observed
from torch_impl.swin import Swin

IMAGE = torch.from_numpy(np.random.default_rng(0).standard_normal((2, 3, 64, 64)).astype(np.float32))


class Copies(dict):
    """Arrays by name, each as it is when it is given: what works in place changes it later."""

    def __setitem__(self, name, array):
        super().__setitem__(name, np.array(array))


def dump(network: torch.nn.Module) -> Held:
    seen = Outputs(Copies())
    with torch.no_grad(), unfolded(), observed(network, seen):
        network(IMAGE)
    return Held(seen.arrays, seen.kinds)


def draw(network: torch.nn.Module) -> torch.nn.Module:
    """Weights and statistics that no two layers share."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if value.ndim > 1:
                value.normal_(0, value[0].numel() ** -0.5, generator=generator)
            elif value.ndim == 1:
                value.uniform_(
                    *((0.5, 1.5) if name.endswith(("norm.weight", "var")) else (-0.5, 0.5)), generator=generator
                )
    return network.eval()


def renamed(weights: dict, rules: dict[str, str]) -> dict:
    """The weights under the names that the first fitting rule gives."""
    found = {}
    for name, value in weights.items():
        rule = next((rule for rule in rules if re.match(rule, name)), None)
        found[re.sub(rule, rules[rule], name) if rule else name] = value
    return found


@pytest.fixture(scope="module")
def resnets():
    """The library's ResNet and ours."""
    library = pytest.importorskip("transformers")
    config = library.ResNetConfig(embedding_size=8, hidden_sizes=[32, 64, 128, 256], depths=[2, 1, 1, 1])
    theirs = draw(library.ResNetModel(config))
    ours = ResNet(ResNetSettings(depths=(2, 1, 1, 1), width=8), frozen_norm=False).eval()
    weights = {}
    for name, value in theirs.state_dict().items():
        if name.endswith("num_batches_tracked"):
            continue
        stage, layer, part, norm, leaf = re.fullmatch(
            r"(?:embedder\.embedder|encoder\.stages\.(\d)\.layers\.(\d)\.(layer\.\d|shortcut))\.(convolution|normalization)\.(\w+)",
            name,
        ).groups()
        is_norm = norm == "normalization"
        number = 1 if stage is None or part == "shortcut" else int(part[-1]) + 1
        own = f"bn{number}" if is_norm else f"conv{number}"
        own = f"downsample.{int(is_norm)}" if part == "shortcut" else own
        weights[own + "." + leaf if stage is None else f"layer{int(stage) + 1}.{layer}.{own}.{leaf}"] = value
    ours.load_state_dict(weights)
    return dump(theirs), ours


@pytest.fixture(scope="module")
def swins():
    """The library's Swin, with q, k and v apart and tokens in a row, and ours, with them joined and tokens in a map."""
    library = pytest.importorskip("transformers")
    depths, heads = (2, 1, 1, 1), (1, 2, 2, 4)
    sizes = {"image_size": 64, "embed_dim": 12, "depths": list(depths), "num_heads": list(heads), "window_size": 2}
    theirs = draw(library.SwinModel(library.SwinConfig(**sizes), add_pooling_layer=False))
    ours = Swin(SwinSettings(kind="swin", width=12, depths=depths, heads=heads, window=2), frozen_norm=False).eval()
    names = {
        r"embeddings\.patch_embeddings\.projection": "patch_embed.proj",
        r"embeddings\.norm": "patch_embed.norm",
        r"layernorm": "norm4",
    }
    stages = {rf"encoder\.layers\.{number}\.blocks": f"layer{number + 1}.blocks" for number in range(4)}
    stages |= {rf"encoder\.layers\.{number}\.downsample": f"layer{number + 2}.downsample" for number in range(3)}
    weights = renamed(theirs.state_dict(), names | stages)
    weights = renamed(weights, {r"(.*)\.layernorm_before": r"\1.norm1", r"(.*)\.layernorm_after": r"\1.norm2"})
    weights = renamed(weights, {r"(.*)\.attention\.o_proj": r"\1.attn.proj"})
    weights = renamed(weights, {r"(.*)\.attention\.relative_position_bias": r"\1.attn"})
    for name in [name for name in weights if ".attention.q_proj." in name]:
        parts = [weights.pop(name.replace("q_proj", f"{letter}_proj")) for letter in "qkv"]
        weights[name.replace("attention.q_proj", "attn.qkv")] = torch.cat(parts)
    missing, unexpected = ours.load_state_dict(weights, strict=False)
    assert not unexpected and all(name.startswith("norm") for name in missing)
    return dump(theirs), ours


def test_a_right_resnet_passes_in_both_directions(resnets):
    theirs, ours = resnets
    run, _ = judged(theirs, dump(ours), Rules({"pooler": None}))
    assert passed([run]) and len(run.findings) >= 30
    assert passed([judged(dump(ours), theirs)[0]])


def test_a_right_swin_passes_in_both_directions(swins):
    theirs, ours = swins
    run, pairs = judged(theirs, dump(ours))
    assert passed([run]) and len(run.findings) >= 60
    assert sum(each.form.startswith("part 1 of 3") for each in pairs) == 5
    run, pairs = judged(dump(ours), theirs)
    assert passed([run]) and sum(len(each.theirs) == 3 for each in pairs) == 5


def stride(network):
    network.layer2[0].conv2.stride = network.layer2[0].downsample[0].stride = 1


def early_stride(network):
    """In the block's first convolution, as the first ResNets have it."""
    block = network.layer2[0]
    block.conv1.stride, block.conv2.stride = 2, 1


def epsilon(network):
    network.layer1[0].bn2.eps = 1e-3


def swapped(network):
    norm = network.layer1[1].bn1
    norm.weight.data, norm.bias.data = norm.bias.data.clone(), norm.weight.data.clone()


def same_padding(network):
    """As MindSpore and TensorFlow pad: on the far side alone."""
    run = network.conv1.forward
    network.conv1.padding = 0
    network.conv1.forward = lambda x: run(torch.nn.functional.pad(x, (2, 3, 2, 3)))


def no_shortcut(network):
    """A block that does not add its input."""
    block = network.layer1[1]

    def without(x):
        for conv, norm in ((block.conv1, block.bn1), (block.conv2, block.bn2), (block.conv3, block.bn3)):
            x = torch.relu(norm(conv(x)))
        return x

    block.forward = without


RESNET_FAULTS = {
    stride: "encoder.stages.1.layers.0.layer.1.convolution",
    early_stride: "encoder.stages.1.layers.0.layer.0.convolution",
    epsilon: "encoder.stages.0.layers.0.layer.1.normalization",
    swapped: "encoder.stages.0.layers.1.layer.0.normalization",
    same_padding: "embedder.embedder.convolution",
    no_shortcut: "encoder.stages.0.layers.1.activation",
}


@pytest.mark.parametrize("fault", RESNET_FAULTS)
def test_a_wrong_resnet_is_named_where_it_is_wrong(resnets, fault):
    theirs, ours = resnets
    wrong = copy.deepcopy(ours)
    fault(wrong)
    run, _ = judged(theirs, dump(wrong), Rules({"pooler": None}))
    assert run.first().name == RESNET_FAULTS[fault]
    if fault in (stride, early_stride):
        assert run.first().pattern == "another shape"


def no_bias(network):
    network.layer2.blocks[0].mlp.fc1.bias.data.zero_()


def no_query_bias(network):
    network.layer2.blocks[0].attn.qkv.bias.data[:24] = 0


def keys_before_queries(network):
    for value in network.layer1.blocks[1].attn.qkv.parameters():
        queries, keys, values = value.data.clone().chunk(3)
        value.data.copy_(torch.cat([keys, queries, values]))


def norm_swapped(network):
    norm = network.layer1.blocks[1].norm2
    norm.weight.data, norm.bias.data = norm.bias.data.clone(), norm.weight.data.clone()


SWIN_FAULTS = {
    no_bias: "encoder.layers.1.blocks.0.mlp.fc1",
    no_query_bias: "encoder.layers.1.blocks.0.attention.q_proj",
    keys_before_queries: "encoder.layers.0.blocks.1.attention.q_proj",
    norm_swapped: "encoder.layers.0.blocks.1.layernorm_after",
}


@pytest.mark.parametrize("fault", SWIN_FAULTS)
def test_a_wrong_swin_is_named_where_it_is_wrong(swins, fault):
    theirs, ours = swins
    wrong = copy.deepcopy(ours)
    fault(wrong)
    run, _ = judged(theirs, dump(wrong), NO_RULES)
    assert run.first().name == SWIN_FAULTS[fault]
