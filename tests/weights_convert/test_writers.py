"""Files for each framework, read by the framework itself."""

import numpy as np
import pytest

from common.weights import compare_weights
from weights_convert import read_foreign
from weights_convert.mindspore_names import from_mindspore, to_mindspore
from weights_convert.writers import write_jittor, write_mindspore, write_mmdetection, write_pth

STATE = {
    "z.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 4).transpose(2, 0, 1),  # not contiguous
    "a.weight": np.arange(36, dtype=np.float32).reshape(4, 1, 3, 3),
    "a.bias": np.array([1.5, -2.0, np.inf, 1e-40], np.float32),
    "one": np.zeros((1, 1, 1), np.float32),
    "empty": np.zeros((0, 3), np.float32),
    "half": np.array([0.1, 6e-8], np.float16),
    "double": np.array([0.1]),
    "count": np.array(2**40, np.int64),
    "flags": np.array([True, False]),
}


def test_torch_reads_a_pth(run_in, tmp_path):
    """With weights_only, into a mapping of the same order, with tensors of the same memory layout."""
    write_pth(tmp_path / "w.pth", STATE)
    write_mmdetection(tmp_path / "m.pth", STATE, ["cat", "café"])
    code = """
trained = torch.load("m.pth", weights_only=True)
assert list(trained) == ["state_dict", "meta"] and trained["meta"] == {"CLASSES": ("cat", "café")}
assert list(trained["state_dict"]) == list(torch.load("w.pth", weights_only=True))
state = torch.load("w.pth", weights_only=True)
assert type(state).__name__ == "OrderedDict"
assert all(value.is_contiguous() and not value.requires_grad for value in state.values())
mapped = torch.load("w.pth", weights_only=True, mmap=True)
assert all(torch.equal(value, mapped[name]) for name, value in state.items())
torch.save(state, "again.pth")
print(",".join(state))
np.savez("back.npz", **{name: value.numpy() for name, value in state.items()})
"""
    assert run_in("torch", code).strip().split(",") == list(STATE)
    assert compare_weights(dict(np.load(tmp_path / "back.npz")), STATE) == ""
    assert compare_weights(read_foreign(tmp_path / "again.pth"), STATE) == ""


def test_jittor_reads_a_pkl(run_in, tmp_path):
    write_jittor(tmp_path / "w.pkl", STATE)
    code = """
state = jittor.load("w.pkl")
print(",".join(state))
np.savez("back.npz", **state)
"""
    assert run_in("jittor", code).strip().split(",") == list(STATE)
    assert compare_weights(dict(np.load(tmp_path / "back.npz")), STATE) == ""


def test_mindspore_reads_a_ckpt(run_in, tmp_path):
    # MindSpore's own writer leaves out what is empty.
    state = {name: array for name, array in STATE.items() if array.size}
    write_mindspore(tmp_path / "w.ckpt", state)
    code = """
state = mindspore.load_checkpoint("w.ckpt", crc_check=True)
print(",".join(state))
np.savez("back.npz", **{name: value.asnumpy() for name, value in state.items()})
"""
    assert run_in("mindspore", code).strip().split(",") == list(state)
    assert compare_weights(dict(np.load(tmp_path / "back.npz")), state) == ""


@pytest.mark.parametrize("write", [write_pth, write_jittor, write_mindspore])
def test_own_readers_give_it_back_to_the_bit(tmp_path, write):
    state = {name: array for name, array in STATE.items() if array.size}
    write(tmp_path / "w.any", state)
    found = read_foreign(tmp_path / "w.any")
    assert list(found) == list(state)
    assert compare_weights(found, state) == ""
    assert [path.name for path in tmp_path.iterdir()] == ["w.any"]


def test_equal_weights_give_equal_files(tmp_path):
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        write_pth(tmp_path / name / "w.pth", STATE)
    assert (tmp_path / "first" / "w.pth").read_bytes() == (tmp_path / "second" / "w.pth").read_bytes()


def test_mindspore_names():
    one = np.ones(1, np.float32)
    weights = {"n.weight": one, "n.bias": one, "n.running_mean": one, "n.running_var": one, "c.weight": one, "s": one}
    named = to_mindspore(weights)
    assert list(named) == ["n.gamma", "n.beta", "n.moving_mean", "n.moving_variance", "c.weight", "s"]
    assert list(from_mindspore(named)) == list(weights)


def test_compare_weights_names_the_first_difference():
    weights = {"a": np.zeros((2, 3), np.float32), "b": np.ones(2, np.float32)}
    assert compare_weights(weights, {name: array.copy() for name, array in weights.items()}) == ""
    nudged = weights | {"b": np.array([1, np.nextafter(np.float32(1), np.float32(2))], np.float32)}
    assert compare_weights(weights, nudged) == "b differs by up to 1.19e-07"
    swapped = weights | {"a": np.arange(6, dtype=np.float32).reshape(2, 3)}
    assert "a differs" in compare_weights(swapped, swapped | {"a": swapped["a"][::-1]})
    assert "missing: b" in compare_weights({"a": weights["a"]}, weights)
    assert "left over: b" in compare_weights(weights, {"a": weights["a"]})
    assert compare_weights(weights, weights | {"b": np.ones(2)}) == "b is float32 in one and float64 in the other"
    assert "b (2,) instead of (1,)" in compare_weights(weights, weights | {"b": np.ones(1, np.float32)})
