"""MindSpore's .ckpt files, without MindSpore: a protobuf message of named tensors, read and written field by field.

    Checkpoint { repeated Value value = 1 }       Value { string tag = 1; TensorProto tensor = 2; MapTensorProto = 3 }
    TensorProto { repeated int64 dims = 1; string tensor_type = 2; bytes tensor_content = 3 }

A large tensor comes as several values of one tag that follow each other. Behind the message there may be a checksum.
"""

import math
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from common.files import atomic_path
from weights_convert.pickle_machine import Refused
from weights_convert.pickled_arrays import array_from_bytes, itemsize

_DTYPES = {
    "Float64": "<f8",
    "Float32": "<f4",
    "Float16": "<f2",
    "BFloat16": "bfloat16",
    "Int64": "<i8",
    "Int32": "<i4",
    "Int16": "<i2",
    "Int8": "|i1",
    "UInt64": "<u8",
    "UInt32": "<u4",
    "UInt16": "<u2",
    "UInt8": "|u1",
    "Bool": "|b1",
}
_TYPE_NAMES = {np.dtype(dtype): name for name, dtype in _DTYPES.items() if dtype != "bfloat16"}
_CHECKSUM_TAG = b"crc_num"  # then ten bytes, most significant first
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def read_checkpoint(path: Path) -> dict[str, np.ndarray]:
    """The tensors of a .ckpt file under MindSpore's names; texts that were saved along (append_info) are left out."""
    message = _without_checksum(memoryview(path.read_bytes()))
    pieces: dict[str, list[memoryview]] = {}
    kinds: dict[str, tuple[str, tuple[int, ...]]] = {}
    last = None
    for number, value in _fields(message):
        if number != 1:
            raise ValueError("it is no MindSpore checkpoint, or encrypted")
        tag, kind, shape, content = _value(value)
        if tag in pieces and tag != last:
            raise ValueError(f"it has two tensors {tag}")
        last, kinds[tag] = tag, (kind, shape)
        pieces.setdefault(tag, []).append(content)
    return {
        tag: _array(tag, kind, shape, b"".join(pieces[tag])) for tag, (kind, shape) in kinds.items() if kind != "str"
    }


def write_checkpoint(path: Path, weights: Mapping[str, np.ndarray]) -> None:
    """A .ckpt file that `mindspore.load_checkpoint` reads, with its checksum."""
    checksum = 0
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        for name, array in weights.items():
            tensor = b"".join(_varint(1 << 3 | _VARINT) + _varint(size) for size in array.shape)
            tensor += _delimited(2, _TYPE_NAMES[array.dtype].encode()) + _delimited(3, array.tobytes())
            value = _delimited(1, _delimited(1, name.encode()) + _delimited(2, tensor))
            checksum = zlib.crc32(value, checksum)
            file.write(value)
        file.write(_CHECKSUM_TAG + checksum.to_bytes(10, "big"))


def _without_checksum(data: memoryview) -> memoryview:
    if bytes(data[-17:-10]) != _CHECKSUM_TAG:
        return data
    if zlib.crc32(data[:-17]) != int.from_bytes(data[-10:], "big"):
        raise ValueError("its checksum does not match")
    return data[:-17]


def _value(message: memoryview) -> tuple[str, str, tuple[int, ...], memoryview]:
    fields = dict(_fields(message))
    if 2 not in fields:
        raise Refused("it holds a map parameter, which has no place in a network's weights")
    dims, kind, content = [], "", memoryview(b"")
    for number, value in _fields(fields[2]):
        if number == 1:
            dims += [value] if isinstance(value, int) else _packed(value)
        elif number == 2:
            kind = bytes(value).decode()
        elif number == 3:
            content = value
    return bytes(fields[1]).decode(), kind, tuple(dims), content


def _array(tag: str, kind: str, shape: tuple[int, ...], content: bytes) -> np.ndarray:
    if kind not in _DTYPES:
        raise Refused(f"{tag} is of type {kind[:20]!r}")
    dtype = _DTYPES[kind]
    if shape == (0,) and content:
        shape = ()  # how MindSpore spells a scalar
    if math.prod(shape) * itemsize(dtype) != len(content):
        raise ValueError(f"{tag} has {len(content)} bytes, which does not match its shape")
    return array_from_bytes(content, dtype, shape)


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """(field number, value) of each field: an int, or the bytes of a text, an array or a message inside."""
    position = 0
    while position < len(message):
        key, position = _read_varint(message, position)
        number, wire_type = key >> 3, key & 7
        if wire_type == _VARINT:
            value, position = _read_varint(message, position)
            yield number, value
            continue
        if wire_type == _BYTES:
            length, position = _read_varint(message, position)
        elif wire_type in (_FIXED64, _FIXED32):
            length = 8 if wire_type == _FIXED64 else 4
        else:
            raise ValueError("it is no MindSpore checkpoint, or encrypted")
        if position + length > len(message):
            raise ValueError("the file ends in the middle of a tensor")
        yield number, message[position : position + length]
        position += length


def _packed(values: memoryview) -> list[int]:
    numbers, position = [], 0
    while position < len(values):
        number, position = _read_varint(values, position)
        numbers.append(number)
    return numbers


def _read_varint(data: memoryview, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(data):
            break
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise ValueError("the file ends in the middle of a number")


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])


def _delimited(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | _BYTES) + _varint(len(content)) + content
