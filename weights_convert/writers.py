"""Writes the frameworks' own checkpoint files, with none of the frameworks installed."""

import hashlib
import os
import pickle
import struct
import sys
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from common.files import atomic_path
from weights_convert import mindspore_files

_TORCH_STORAGES = {
    np.dtype("f8"): "DoubleStorage",
    np.dtype("f4"): "FloatStorage",
    np.dtype("f2"): "HalfStorage",
    np.dtype("i8"): "LongStorage",
    np.dtype("i4"): "IntStorage",
    np.dtype("i2"): "ShortStorage",
    np.dtype("i1"): "CharStorage",
    np.dtype("u1"): "ByteStorage",
    np.dtype("?"): "BoolStorage",
}
_ORDERED_DICT = b"ccollections\nOrderedDict\n)R"  # name it, an empty tuple, call it


def write_pth(
    path: str | os.PathLike,
    weights: Mapping[str, np.ndarray],
    entry: str | None = None,
    classes: Sequence[str] | None = None,
) -> None:
    """A state dict as torch.save writes it, in the mapping's order; `torch.load(weights_only=True)` reads it.

    `entry` is the key of an outer dictionary that trainers put it under; `classes` are the names that mmdetection's
    puts beside it.
    """
    path = Path(path)
    arrays = [np.asarray(array, order="C") for array in weights.values()]
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        _entry(archive, f"{path.stem}/data.pkl", _state_dict_pickle(list(weights), arrays, entry, classes))
        _entry(archive, f"{path.stem}/byteorder", sys.byteorder.encode())
        for key, array in enumerate(arrays):
            _entry(archive, f"{path.stem}/data/{key}", array.tobytes())
        _entry(archive, f"{path.stem}/version", b"3\n")


def write_mmdetection(path: str | os.PathLike, weights: Mapping[str, np.ndarray], classes: Sequence[str]) -> None:
    """A checkpoint as mmdetection's trainer writes it: what loads it takes the names of the classes from it, too."""
    write_pth(path, weights, "state_dict", classes)


def write_jittor(path: str | os.PathLike, weights: Mapping[str, np.ndarray]) -> None:
    """A dictionary of NumPy arrays as jittor.save writes it: a pickle, its SHA-1 and Jittor's mark."""
    data = pickle.dumps({name: np.asarray(array, order="C") for name, array in weights.items()}, protocol=4)
    with atomic_path(path) as temporary:
        temporary.write_bytes(data + hashlib.sha1(data).digest() + b"HCAJSLHD")


def write_detectron2(path: str | os.PathLike, weights: Mapping[str, np.ndarray]) -> None:
    """A .pth as detectron2's trainer writes it, or a .pkl of NumPy arrays as its model zoo has them.

    Beside the arrays stands an author, without whom detectron2 takes a .pkl for one of Caffe2.
    """
    path = Path(path)
    if path.suffix != ".pkl":
        write_pth(path, weights, entry="model")
        return
    items = b"".join(_text(name) + _numpy_array(array) for name, array in weights.items())
    model = _text("model") + b"}(" + items + b"u"
    with atomic_path(path) as temporary:
        temporary.write_bytes(b"\x80\x03}(" + model + _text("__author__") + _text("TriSeg") + b"u.")


def write_mindspore(path: str | os.PathLike, weights: Mapping[str, np.ndarray]) -> None:
    """A checkpoint that mindspore.load_checkpoint reads; the names are written as they are."""
    mindspore_files.write_checkpoint(Path(path), weights)


def _entry(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    # The default date, so that equal weights give equal files.
    archive.writestr(zipfile.ZipInfo(name), content)


def _state_dict_pickle(
    names: list[str], arrays: list[np.ndarray], entry: str | None, classes: Sequence[str] | None
) -> bytes:
    """A pickle of protocol 2, written out by hand: Python's pickler would want to import what the pickle names."""
    items = b"".join(
        _text(name) + _tensor(array, str(key)) for key, (name, array) in enumerate(zip(names, arrays, strict=True))
    )
    state = _ORDERED_DICT + b"(" + items + b"u"
    if entry is None:
        return b"\x80\x02" + state + b"."
    about = b"" if classes is None else _text("meta") + b"}" + _text("CLASSES") + _tuple(*map(_text, classes)) + b"ss"
    return b"\x80\x02}" + _text(entry) + state + b"s" + about + b"."


def _numpy_array(array: np.ndarray) -> bytes:
    """The part of a pickle that builds an array, under the names of NumPy 1, which NumPy 2 knows too."""
    array = np.asarray(array, order="C")
    empty = b"cnumpy.core.multiarray\n_reconstruct\n" + _tuple(b"cnumpy\nndarray\n", _tuple(_integer(0)), _bytes(b"b"))
    dtype = b"cnumpy\ndtype\n" + _tuple(_text(array.dtype.str[1:]), b"\x89", b"\x88") + b"R"
    order = _tuple(_integer(3), _text(array.dtype.str[0]), b"N", b"N", b"N", _integer(-1), _integer(-1), _integer(0))
    shape = _tuple(*map(_integer, array.shape))
    return empty + b"R" + _tuple(_integer(1), shape, dtype + order + b"b", b"\x89", _bytes(array.tobytes())) + b"b"


def _tensor(array: np.ndarray, key: str) -> bytes:
    storage_type = f"ctorch\n{_TORCH_STORAGES[array.dtype]}\n".encode()
    reference = _tuple(_text("storage"), storage_type, _text(key), _text("cpu"), _integer(array.size)) + b"Q"
    size = _tuple(*map(_integer, array.shape))
    stride = _tuple(*(_integer(step // array.itemsize) for step in _contiguous_strides(array)))
    arguments = _tuple(reference, _integer(0), size, stride, b"\x89", _ORDERED_DICT)
    return b"ctorch._utils\n_rebuild_tensor_v2\n" + arguments + b"R"


def _contiguous_strides(array: np.ndarray) -> list[int]:
    # NumPy gives an axis of length 0 or 1 any stride.
    strides = [array.itemsize] * array.ndim
    for axis in range(array.ndim - 2, -1, -1):
        strides[axis] = strides[axis + 1] * max(array.shape[axis + 1], 1)
    return strides


def _tuple(*parts: bytes) -> bytes:
    return b"(" + b"".join(parts) + b"t"


def _text(text: str) -> bytes:
    encoded = text.encode()
    return b"X" + struct.pack("<I", len(encoded)) + encoded


def _bytes(content: bytes) -> bytes:
    return b"B" + struct.pack("<I", len(content)) + content


def _integer(value: int) -> bytes:
    if value < 2**31:
        return b"J" + struct.pack("<i", value)
    return b"\x8a\x08" + struct.pack("<q", value)
