"""Checkpoint files as the frameworks write them, read without any of them."""

import hashlib
import io
import pickle
import struct
import zlib
from collections import OrderedDict

import numpy as np
import pytest
from safetensors.numpy import save_file

from common.errors import UserError
from weights_convert import read_foreign

# Every kind of tensor that a state dict may hold; `plain.npz` is the same as float32 for comparison.
TORCH_STATE = """
from torch import nn
whole = torch.arange(24.0).reshape(2, 3, 4) / 7
state = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).state_dict()
state["transposed"] = whole.transpose(0, 2)
state["view"] = whole[1, :, 1:3]
state["channels_last"] = torch.arange(48.0).reshape(1, 3, 4, 4).to(memory_format=torch.channels_last)
state["shared"] = whole.reshape(-1)[5:9]
state["expanded"] = torch.ones(1, 3).expand(5, 3)
state["empty"] = torch.zeros(0, 3)
state["scalar"] = torch.tensor(5)
state["parameter"] = nn.Parameter(whole)
state["half"], state["bfloat16"], state["double"] = whole.half(), whole.bfloat16(), whole.double()
state["bool"], state["byte"], state["int"] = whole > 1, whole.byte(), whole.int()
np.savez("plain.npz", **{name: value.detach().float().numpy() for name, value in state.items()})
"""
SAVE_BOTH = """
torch.save({0}, "zipped.pth")
torch.save({0}, "legacy.pth", _use_new_zipfile_serialization=False)
"""
NUMPY_STATE = {"a.weight": np.arange(12, dtype=np.float32).reshape(3, 4), "a.bias": np.array([1.5, -2.0], np.float32)}


def assert_equal(found: dict, expected: dict) -> None:
    assert list(found) == list(expected)
    for name, array in expected.items():
        assert found[name].shape == array.shape, name
        np.testing.assert_array_equal(found[name].astype(np.float32), array.astype(np.float32), err_msg=name)


def test_every_kind_of_torch_tensor(run_in, tmp_path):
    run_in("torch", TORCH_STATE + SAVE_BOTH.format("state"))
    for name in ("zipped.pth", "legacy.pth"):
        found = read_foreign(tmp_path / name)
        assert_equal(found, dict(np.load(tmp_path / "plain.npz")))
        types = {"half": "float16", "bfloat16": "float32", "double": "float64", "bool": "bool", "scalar": "int64"}
        assert {key: str(found[key].dtype) for key in types} == types
        found["view"][...] = 0  # what was read may be written to


def test_a_trainers_checkpoint_gives_its_weights(run_in, tmp_path):
    code = """
from torch import nn
model = nn.Linear(2, 3)
optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
model(torch.ones(1, 2)).sum().backward(); optimizer.step()
schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [2, 5])
everything = dict(
    model=model.state_dict(), optimizer=optimizer.state_dict(), scheduler=schedule.state_dict(), iteration=3)
np.savez("plain.npz", **{name: value.numpy() for name, value in model.state_dict().items()})
"""
    run_in("torch", code + SAVE_BOTH.format("everything"))
    for name in ("zipped.pth", "legacy.pth"):
        assert_equal(read_foreign(tmp_path / name), dict(np.load(tmp_path / "plain.npz")))


def test_jittor(run_in, tmp_path):
    code = """
import jittor as jt
model = jt.nn.Linear(2, 3)
model.save("file.pkl")
model.save("file.pth")
np.savez("plain.npz", **{name: value.numpy() for name, value in model.state_dict().items()})
"""
    run_in("jittor", code)
    plain = dict(np.load(tmp_path / "plain.npz"))
    assert_equal(read_foreign(tmp_path / "file.pkl"), plain)
    assert_equal(read_foreign(tmp_path / "file.pth"), plain)


def test_mindspore(run_in, tmp_path):
    code = """
import mindspore as ms
tensors = dict(
    weight=ms.Tensor(np.arange(6, dtype=np.float32).reshape(2, 3)), scalar=ms.Tensor(3.5, ms.float32),
    half=ms.Tensor([1.5, 2.25], ms.float16), bfloat16=ms.Tensor([1.5, 2.25], ms.bfloat16),
    flag=ms.Tensor([True, False]), count=ms.Tensor([7], ms.int64))
listed = [{"name": name, "data": value} for name, value in tensors.items()]
ms.save_checkpoint(listed, "plain.ckpt")
ms.save_checkpoint(listed, "checked.ckpt", crc_check=True, append_info={"epoch_num": 3, "note": "text"})
ms.save_checkpoint(listed[:1], "file", format="safetensors")
"""
    run_in("mindspore", code)
    expected = {
        "weight": np.arange(6, dtype=np.float32).reshape(2, 3),
        "scalar": np.float32(3.5),
        "half": np.array([1.5, 2.25], np.float16),
        "bfloat16": np.array([1.5, 2.25], np.float32),
        "flag": np.array([True, False]),
        "count": np.array([7]),
    }
    assert_equal(read_foreign(tmp_path / "plain.ckpt"), expected)
    checked = read_foreign(tmp_path / "checked.ckpt")
    assert_equal({name: checked[name] for name in expected}, expected)
    assert set(checked) - set(expected) <= {"epoch_num"}
    assert_equal(read_foreign(tmp_path / "file.safetensors"), {"weight": expected["weight"]})


def test_mindspore_joins_a_tensor_in_pieces(tmp_path):
    """MindSpore cuts what is over 512 MB into values of one name that follow each other."""

    def field(number: int, content: bytes) -> bytes:
        return bytes([number << 3 | 2, len(content)]) + content

    def value(content: bytes) -> bytes:
        tensor = bytes([1 << 3, 2, 1 << 3, 2]) + field(2, b"Float32") + field(3, content)
        return field(1, field(1, b"w") + field(2, tensor))

    whole = np.arange(4, dtype=np.float32)
    (tmp_path / "w.ckpt").write_bytes(value(whole[:1].tobytes()) + value(whole[1:].tobytes()))
    assert_equal(read_foreign(tmp_path / "w.ckpt"), {"w": whole.reshape(2, 2)})


@pytest.mark.parametrize("protocol", range(6))
def test_pickled_numpy_of_any_protocol(tmp_path, protocol):
    state = NUMPY_STATE | {
        "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "big_endian": np.arange(3, dtype=">f4"),
        "number": np.float32(2.5),
    }
    (tmp_path / "w.pkl").write_bytes(pickle.dumps(OrderedDict(state), protocol=protocol))
    assert_equal(read_foreign(tmp_path / "w.pkl"), state)


def test_caffe2_pickle_of_python_2(tmp_path):
    """Python 2 pickled bytes as text: opcodes U and T, which Python 3 never writes."""
    content = np.array([1.5, -2.0], "<f4").tobytes()
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85U\x01btR"
        b"(K\x01K\x02\x85cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        b"\x89U" + bytes([len(content)]) + content + b"tb"
    )
    data = b"\x80\x02}(U\x05blobs}(U\x07conv1_wq\x01" + array + b"uU\x03cfgU\x01xu."
    (tmp_path / "w.pkl").write_bytes(data)
    assert_equal(read_foreign(tmp_path / "w.pkl"), {"conv1_w": np.array([1.5, -2.0])})


def test_detectron2_pickle(tmp_path):
    data = {"model": NUMPY_STATE, "__author__": "someone", "matching_heuristics": True}
    (tmp_path / "w.pkl").write_bytes(pickle.dumps(data))
    assert_equal(read_foreign(tmp_path / "w.pkl"), NUMPY_STATE)


def test_npz_and_safetensors(tmp_path):
    np.savez(tmp_path / "w.npz", **NUMPY_STATE)
    np.savez_compressed(tmp_path / "small.npz", **NUMPY_STATE)
    save_file(NUMPY_STATE, tmp_path / "w.safetensors")
    assert_equal(read_foreign(tmp_path / "w.npz"), NUMPY_STATE)
    assert_equal(read_foreign(tmp_path / "small.npz"), NUMPY_STATE)
    found = read_foreign(tmp_path / "w.safetensors")
    assert_equal({name: found[name] for name in NUMPY_STATE}, NUMPY_STATE)


def test_bfloat16_safetensors(tmp_path):
    header = b'{"w":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}}'
    (tmp_path / "w.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + b"\xc0\x3f\x10\xc0")
    np.testing.assert_array_equal(read_foreign(tmp_path / "w.safetensors")["w"], [1.5, -2.25])


def test_checksums_are_held(tmp_path):
    data = pickle.dumps(NUMPY_STATE, protocol=4)
    (tmp_path / "w.pkl").write_bytes(data + hashlib.sha1(data).digest() + b"HCAJSLHD")
    assert_equal(read_foreign(tmp_path / "w.pkl"), NUMPY_STATE)
    (tmp_path / "w.pkl").write_bytes(data + hashlib.sha1(b"else").digest() + b"HCAJSLHD")
    with pytest.raises(UserError, match="checksum"):
        read_foreign(tmp_path / "w.pkl")
    (tmp_path / "w.ckpt").write_bytes(b"\x0a\x00" + b"crc_num" + zlib.crc32(b"else").to_bytes(10, "big"))
    with pytest.raises(UserError, match="checksum"):
        read_foreign(tmp_path / "w.ckpt")


@pytest.mark.parametrize(
    ("tree", "message"),
    [([1, 2], "holds no dictionary"), ({"epoch": 3}, "holds no arrays"), ({}, "holds no arrays")],
)
def test_a_pickle_without_weights(tmp_path, tree, message):
    file = io.BytesIO()
    pickle.dump(tree, file)
    (tmp_path / "w.pkl").write_bytes(file.getvalue())
    with pytest.raises(UserError, match=message):
        read_foreign(tmp_path / "w.pkl")


def test_what_is_no_checkpoint(tmp_path):
    with pytest.raises(UserError, match=r"not found: .*w\.pth"):
        read_foreign(tmp_path / "w.pth")
    for content, message in ((b"", "empty"), (b"hello, world", "no checkpoint of a known format")):
        (tmp_path / "w.bin").write_bytes(content)
        with pytest.raises(UserError, match=rf"w\.bin: .*{message}"):
            read_foreign(tmp_path / "w.bin")


def test_a_checkpoint_beside_a_command_line(run_in, tmp_path):
    """torchvision's reference training saves what argparse made of its arguments."""
    code = """
import argparse
weight = torch.arange(6.0).reshape(2, 3)
options = argparse.Namespace(data_path="/data", lr=0.02, lr_steps=[16, 22], resume=None, device="cuda")
everything = dict(model={"fc.weight": weight}, args=options, epoch=25)
"""
    run_in("torch", code + SAVE_BOTH.format("everything"))
    for name in ("zipped.pth", "legacy.pth"):
        assert_equal(read_foreign(tmp_path / name), {"fc.weight": np.arange(6.0).reshape(2, 3)})
