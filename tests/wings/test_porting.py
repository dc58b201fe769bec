"""The code that docs/porting.md gives for each framework records a training, by canonical names."""

import re
from pathlib import Path

import numpy as np
import pytest

from benchmarks.foreign import Recorder
from benchmarks.foreign.dump import read_dump
from common.errors import UserError

PAGE = (Path(__file__).parents[2] / "docs/porting.md").read_text()
IMAGE = np.random.default_rng(0).standard_normal((2, 3, 8, 8)).astype(np.float32)
RATE = 0.1


def network(framework):
    """A convolution, a norm and an activation."""
    if framework == "torch":
        from torch import nn

        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
    if framework == "jittor":
        from jittor import nn

        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
    from mindspore import nn

    made = nn.SequentialCell(nn.Conv2d(3, 4, 3, pad_mode="valid", has_bias=True), nn.BatchNorm2d(4), nn.ReLU())
    return made.set_train()


WEIGHTS = {"0.weight", "0.bias", "1.weight", "1.bias"}


def test_the_code_of_the_page_records_a_training(framework, wing, tmp_path, monkeypatch):
    wing("device").select("cpu")
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    (code,) = [block for block in blocks if block.startswith(f"from {framework}_impl.observing import")]
    names = {"__name__": "page", "network": network(framework), "image": IMAGE, "RATE": RATE, "Recorder": Recorder}
    exec(compile(code, "docs/porting.md", "exec"), names | {"loss_of": lambda answer: (answer**2).mean()})
    dump = read_dump("mine")
    assert dump.layers.names == ["0", "1", "2"] and dump.framework == framework
    assert dump.layers.kinds["1"].startswith("BatchNorm")
    np.testing.assert_array_equal(dump.layers.array("2"), np.maximum(dump.layers.array("1"), 0))
    assert dump.losses.array("loss")[0] == pytest.approx(np.square(dump.layers.array("2")).mean(), rel=1e-5)
    assert set(dump.gradients.names) == WEIGHTS
    assert set(dump.parameters.names) == WEIGHTS | {"1.running_mean", "1.running_var"}
    (step,) = dump.steps
    for name in WEIGHTS:
        moved = step.before.array(name) - RATE * step.gradients.array(name)
        np.testing.assert_allclose(step.after.array(name), moved, rtol=1e-5, atol=1e-6)
    assert (step.before.array("1.running_mean") != step.after.array("1.running_mean")).any()


def test_a_compiled_network_is_refused_in_one_line(framework, wing, tmp_path, monkeypatch):
    if framework != "mindspore":
        pytest.skip("MindSpore alone compiles a network whole")
    import mindspore
    from mindspore import nn

    class Compiled(nn.Cell):
        @mindspore.jit
        def construct(self, x):
            return x + 1

    observed, record = wing("observing").observed, Recorder(tmp_path / "mine", {"image": IMAGE})
    made = nn.SequentialCell(Compiled())
    monkeypatch.delenv("MS_JIT", raising=False)
    with (
        pytest.raises(UserError, match=r"its 0 is marked with mindspore.jit: run it as Python"),
        observed(made, record),
    ):
        pass
    mode = mindspore.get_context("mode")
    mindspore.set_context(mode=mindspore.GRAPH_MODE)
    try:
        with pytest.raises(UserError, match="compiled in GRAPH_MODE"), observed(network(framework), record):
            pass
    finally:
        mindspore.set_context(mode=mode)
    monkeypatch.setenv("MS_JIT", "0")
    with observed(made, record):
        made(mindspore.Tensor(IMAGE))
    assert read_dump(tmp_path / "mine").layers.names == ["0"]
