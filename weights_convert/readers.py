"""Any checkpoint file as a dictionary of NumPy arrays: told by its content, without a framework or running its code."""

import hashlib
import io
import math
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import safetensors

from common.errors import UserError
from common.files import existing_file
from weights_convert import mindspore_files, torch_files
from weights_convert.archives import open_archive
from weights_convert.pickle_machine import PickleMachine, Refused
from weights_convert.pickled_arrays import (
    NUMPY_CALLS,
    Budget,
    PickledArray,
    PickledTensor,
    array_from_bytes,
    whole_numbers,
)

# Jittor puts a SHA-1 of 20 bytes and this behind its pickles.
_JITTOR_END = b"HCAJSLHD"
# Where trainers put the weights when they save more than these: maskrcnn-benchmark and detectron2, mmdetection, Caffe2.
_WRAPPERS = ("model", "state_dict", "blobs")
_LONGEST_NAME = 200  # of an array; names are shown in messages
_PICKLE_SUFFIXES = (".pkl", ".pickle", ".pth", ".pt")
_SAFETENSORS_DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "bfloat16", "I64": "<i8", "I32": "<i4"} | {
    "I16": "<i2",
    "I8": "|i1",
    "U8": "|u1",
    "BOOL": "|b1",
}


def read_foreign(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """The arrays of a checkpoint under the names that they have in the file, in its order.

    Known: PyTorch's .pth (both kinds), pickles of NumPy arrays (Caffe2, detectron2, Jittor), MindSpore's .ckpt, npz and
    safetensors. Where weights lie beside an optimizer's state, the weights alone. bfloat16 becomes float32.
    """
    path = existing_file(path, "checkpoint")
    if path.stat().st_size == 0:
        raise UserError(f"{path}: the file is empty")
    try:
        arrays = _reader(path)(path)
    except UserError:
        raise
    except Refused as refusal:
        raise UserError(f"{path}: refused: {_printable(refusal)}") from None
    except MemoryError:
        raise UserError(f"{path}: refused: it asks for more memory than there is") from None
    except Exception as fault:  # The formats' parsers raise nearly everything on a damaged file.
        raise UserError(f"{path}: damaged, or no checkpoint of a known format ({_printable(fault)})") from None
    if not arrays:
        raise UserError(f"{path}: holds no arrays")
    for name in arrays:
        if not name.isprintable() or len(name) > _LONGEST_NAME:
            raise UserError(f"{path}: refused: it names an array {_printable(name)}")
    return arrays


def _printable(text: object) -> str:
    """A text that a file may have chosen, as one short line without control characters."""
    return ascii(str(text))[1:-1][:_LONGEST_NAME]


def _reader(path: Path) -> Callable[[Path], dict[str, np.ndarray]]:
    with open(path, "rb") as file:
        start = file.read(32)
    if start.startswith(b"PK\x03\x04"):
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
        return _read_npz if names and all(name.endswith(".npy") for name in names) else _read_torch_zip
    if start.startswith(torch_files.LEGACY_START):
        return _read_torch_legacy
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") < path.stat().st_size:
        return _read_safetensors
    if start[0] == 0x0A:  # a protobuf message whose first field is of number 1 and has a length
        return mindspore_files.read_checkpoint
    if start[0] == 0x80 or path.suffix in _PICKLE_SUFFIXES:
        return _read_pickle
    raise UserError(f"{path}: no checkpoint of a known format")


def _read_torch_zip(path: Path) -> dict[str, np.ndarray]:
    return _arrays(torch_files.read_zip(path), path)


def _read_torch_legacy(path: Path) -> dict[str, np.ndarray]:
    return _arrays(torch_files.read_legacy(path), path)


def _read_pickle(path: Path) -> dict[str, np.ndarray]:
    data = path.read_bytes()
    if data.endswith(_JITTOR_END):
        data, digest = data[:-28], data[-28:-8]
        if hashlib.sha1(data).digest() != digest:
            raise ValueError("its checksum does not match")
    stream = io.BytesIO(data)
    tree = PickleMachine(stream, NUMPY_CALLS, len(data)).load()
    if stream.tell() != len(data):
        raise ValueError("there are bytes behind its end")
    return _arrays(tree, path)


def _arrays(tree: Any, path: Path) -> dict[str, np.ndarray]:
    """The arrays of an unpickled dictionary, or of the one inside that holds the weights; other values are left out."""
    if not isinstance(tree, dict):
        raise Refused("it holds no dictionary of weights")
    inner = next((tree[key] for key in _WRAPPERS if isinstance(tree.get(key), dict)), None)
    weights = tree if inner is None else inner
    budget = Budget(path.stat().st_size)
    return {
        str(name): value.array(budget)
        for name, value in weights.items()
        if isinstance(value, PickledTensor | PickledArray)
    }


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    with open_archive(path, stored_only=False) as archive:
        return {entry.filename.removesuffix(".npy"): _npy(archive, entry) for entry in archive.infolist()}


def _npy(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> np.ndarray:
    with archive.open(entry) as file:
        version = np.lib.format.read_magic(file)
        read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[
            version
        ]
        shape, fortran, dtype = read_header(file)
        if dtype.hasobject:
            raise Refused(f"{entry.filename} is an array of Python objects")
        # np.load would make room for whatever the header says before it reads.
        if math.prod(whole_numbers(shape, "a shape")) * dtype.itemsize > entry.file_size:
            raise Refused(f"{entry.filename} declares more elements than it has bytes for")
        return np.frombuffer(file.read(), dtype).reshape(shape, order="F" if fortran else "C").copy()


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    arrays = {}
    for name, entry in safetensors.deserialize(path.read_bytes()):
        if entry["dtype"] not in _SAFETENSORS_DTYPES:
            raise Refused(f"{name} is of type {entry['dtype']}")
        arrays[name] = array_from_bytes(entry["data"], _SAFETENSORS_DTYPES[entry["dtype"]], tuple(entry["shape"]))
    return arrays
