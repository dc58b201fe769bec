"""The code that docs/porting.md gives for a port's dump does what it says in each framework."""

import re
from pathlib import Path

import numpy as np

PAGE = (Path(__file__).parents[2] / "docs/porting.md").read_text()


def network(framework):
    if framework == "torch":
        from torch import nn

        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    if framework == "jittor":
        from jittor import nn

        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    from mindspore import nn

    return nn.SequentialCell(nn.Conv2d(3, 4, 3), nn.ReLU())


def test_a_port_is_dumped(framework, wing, tmp_path, monkeypatch):
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    (code,) = [block for block in blocks if f"{framework}_impl" in block and 'write_dump("mine"' in block]
    monkeypatch.chdir(tmp_path)
    wing("device").select("cpu")
    image = np.random.default_rng(0).standard_normal((1, 3, 8, 8)).astype(np.float32)
    exec(compile(code, "docs/porting.md", "exec"), {"network": network(framework), "image": image})
    with np.load("mine/outputs.npz") as dump:
        assert dump.files == ["image", "0", "1"]
        np.testing.assert_array_equal(dump["image"], image)
        np.testing.assert_array_equal(dump["1"], np.maximum(dump["0"], 0))
        assert dump["0"].shape[:2] == (1, 4) and (dump["0"] < 0).any()
