"""A recorder's dump is what was handed to it, whole after every call, and of one run."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.foreign import Recorder
from benchmarks.foreign.dump import read_dump
from common.errors import UserError

ROOT = Path(__file__).parents[3]
OTHERS = {"cv2", "PIL", "scipy", "pydantic", "pycocotools", "torch", "jittor", "mindspore", "safetensors", "yaml"}


def test_layers_keep_their_order_and_their_calls(tmp_path):
    record = Recorder(tmp_path / "mine", {"image": np.zeros((1, 3))})
    record.layer("head", np.ones(2), "Conv2d")
    record.layer("levels", [np.ones(3), {"deep": np.ones(4)}])
    record.layer("head", np.zeros(2), "Conv2d")
    layers = read_dump(tmp_path / "mine").layers
    assert layers.names == ["head", "levels/0", "levels/1/deep", "head@1"]
    assert layers.kinds == {"head": "Conv2d", "head@1": "Conv2d"} and not layers.array("head@1").any()
    record.backward({}, {})
    record.layer("head", np.ones(2))
    assert len(read_dump(tmp_path / "mine").layers) == 4


def test_arrays_are_copied_when_they_are_handed_over(tmp_path):
    weights = {"w": np.ones(3, np.float32)}
    record = Recorder(tmp_path / "mine", {"image": np.zeros(1)}, weights)
    record.backward({"ce": np.float32(0.5)}, {"w": np.full(3, 2.0)})
    weights["w"] -= 0.5
    record.step(weights, rate=0.25, memory={"momentum_buffer/w": np.full(3, 2.0)})
    weights["w"] -= 0.5
    record.step(weights, rate=0.25)
    dump = read_dump(tmp_path / "mine")
    assert [step.before.array("w")[0] for step in dump.steps] == [1.0, 0.5]
    assert [step.after.array("w")[0] for step in dump.steps] == [0.5, 0.0]
    assert [step.rate for step in dump.steps] == [0.25, 0.25]
    assert dump.steps[1].memory_before.array("momentum_buffer/w")[0] == 2
    assert "w" not in dump.steps[1].gradients and dump.steps[0].losses.array("ce") == 0.5
    assert dump.losses.array("ce") == 0.5 and dump.parameters.array("w")[0] == 1


def test_an_earlier_dump_leaves_nothing_behind(tmp_path):
    record = Recorder(tmp_path / "mine", {"image": np.zeros(1)}, {"w": np.ones(1)})
    record.layer("conv", np.ones(1), "Conv2d")
    record.backward({"ce": 1}, {"w": np.ones(1)})
    record.step({"w": np.zeros(1)})
    record.results([])
    (tmp_path / "mine/map.json").write_text("{}")
    Recorder(tmp_path / "mine", {"image": np.ones(1)})
    left = {path.name for path in (tmp_path / "mine").iterdir()}
    assert left == {"dump.json", "inputs.npz", "map.json"}


def test_what_cannot_be_recorded_is_refused(tmp_path):
    record = Recorder(tmp_path / "mine")
    with pytest.raises(UserError, match="layer 'conv' has no array: str"):
        record.layer("conv", "nothing")
    with pytest.raises(UserError, match="a step needs the parameters before it"):
        record.step({"w": np.ones(1)})
    with pytest.raises(UserError, match="not an image"):
        record.image("notes.txt", np.zeros(1))


def test_a_recorder_needs_numpy_alone(tmp_path):
    code = (
        "import sys, numpy as np\n"
        "from benchmarks.foreign import Recorder\n"
        "record = Recorder('mine', {'image': np.zeros(1)}, {'w': np.ones(1)})\n"
        "record.layer('conv', np.ones(1))\n"
        "record.backward({'ce': 1.0}, {'w': np.ones(1)})\n"
        "record.step({'w': np.ones(1)})\n"
        "loaded = {name.partition('.')[0] for name in sys.modules}\n"
        f"print(sorted(loaded & {OTHERS}))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert answer.stdout.strip() == "[]", answer.stdout + answer.stderr
