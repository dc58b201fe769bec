"""PyTorch's checkpoint files, without PyTorch: the zip of 1.6 and later, and the stream of pickles before it."""

import io
import struct
import zipfile
from pathlib import Path
from typing import Any

from weights_convert.archives import open_archive, read_entry
from weights_convert.pickle_machine import Name, PickleMachine, Refused
from weights_convert.pickled_arrays import STORAGE_DTYPES, TORCH_CALLS, Storage, whole_numbers

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
# The pickle of that number is how a file of the old kind begins.
LEGACY_START = b"\x80\x02\x8a\x0a" + _LEGACY_MAGIC.to_bytes(10, "little") + b"."


def read_zip(path: Path) -> Any:
    """The object that torch.save put into a zip, with tensors as `PickledTensor`."""
    with open_archive(path, stored_only=True) as archive:
        names = archive.namelist()
        pickles = [name for name in names if name == "data.pkl" or name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise Refused("the zip holds no data.pkl, so it is no PyTorch checkpoint")
        prefix = pickles[0].removesuffix("data.pkl")
        if f"{prefix}constants.pkl" in names:
            raise Refused("this is a TorchScript archive; save the state dict instead")
        if f"{prefix}byteorder" in names and read_entry(archive, f"{prefix}byteorder") != b"little":
            raise Refused("the checkpoint was written on a big-endian machine")
        return _unpickled(archive, prefix)


def _unpickled(archive: zipfile.ZipFile, prefix: str) -> Any:
    storages: dict[str, Storage] = {}

    def storage(reference: Any) -> Storage:
        dtype, key, count = _reference(reference, length=5)
        if key not in storages:
            storages[key] = Storage(dtype, count)
            storages[key].data = read_entry(archive, f"{prefix}data/{key}")
        found = storages[key]
        if found.dtype != dtype or found.nbytes != len(found.data):
            raise ValueError(f"storage {key} has {len(found.data)} bytes, and {count} elements are declared")
        return found

    pickle = read_entry(archive, f"{prefix}data.pkl")
    return PickleMachine(io.BytesIO(pickle), TORCH_CALLS, len(pickle), storage).load()


def read_legacy(path: Path) -> Any:
    """The object that torch.save wrote before 1.6, with tensors as `PickledTensor`.

    The file is a row of pickles: magic number, version, system, the object and the storages' keys; then the storages.
    """
    data = path.read_bytes()
    stream = io.BytesIO(data)
    storages: dict[str, Storage] = {}

    def storage(reference: Any) -> Storage:
        dtype, key, count = _reference(reference, length=6)
        if reference[5] is not None:
            raise Refused("the checkpoint has views of storages, which PyTorch stopped writing in 2017")
        return storages.setdefault(key, Storage(dtype, count))

    def unpickle(persistent: Any = None) -> Any:
        return PickleMachine(stream, TORCH_CALLS, len(data), persistent).load()

    if unpickle() != _LEGACY_MAGIC or unpickle() != 1001:
        raise ValueError("it does not begin as a PyTorch checkpoint does")
    system = unpickle()
    if not system.get("little_endian", True):
        raise Refused("the checkpoint was written on a big-endian machine")
    tree = unpickle(storage)
    for key in unpickle():
        _fill(storages[str(key)], stream, data)
    return tree


def _fill(storage: Storage, stream: io.BytesIO, data: bytes) -> None:
    start = stream.tell() + 8
    (count,) = struct.unpack("<q", stream.read(8))
    if count != storage.count or start + storage.nbytes > len(data):
        raise ValueError("the file ends before its storages do")
    storage.data = memoryview(data)[start : start + storage.nbytes]
    stream.seek(start + storage.nbytes)


def _reference(reference: Any, length: int) -> tuple[str, str, int]:
    """The dtype, key and element count of a reference ('storage', type, key, device, count[, view])."""
    if isinstance(reference, tuple) and reference and reference[0] == "module":
        raise Refused("this is a whole pickled module; save its state dict instead")
    if not isinstance(reference, tuple) or len(reference) != length or reference[0] != "storage":
        raise Refused("the pickle refers to something that is no storage")
    _, kind, key, _, count = reference[:5]
    kind = kind.path.removeprefix("torch.") if isinstance(kind, Name) else ""
    if kind not in STORAGE_DTYPES or not isinstance(key, str | int):
        raise Refused("the pickle refers to a storage of unknown type")
    (count,) = whole_numbers((count,), "a storage's size")
    return STORAGE_DTYPES[kind], str(key), count
