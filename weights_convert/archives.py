"""Zip archives that may be hostile: names and sizes are checked before a byte is unpacked, and nothing goes to disk."""

import zipfile
from pathlib import Path, PurePosixPath

from weights_convert.pickle_machine import Refused
from weights_convert.pickled_arrays import Budget


def open_archive(path: Path, stored_only: bool) -> zipfile.ZipFile:
    """A zip whose entries' names and sizes have been checked.

    stored_only: the format never compresses, so that a compressed entry is a bomb or a fake, and refused.
    """
    archive = zipfile.ZipFile(path)
    try:
        _check(archive, path.stat().st_size, stored_only)
    except BaseException:
        archive.close()
        raise
    return archive


def read_entry(archive: zipfile.ZipFile, name: str) -> bytes:
    """The bytes of the entry of this name, which the archive must have."""
    try:
        return archive.read(name)
    except KeyError:
        raise ValueError(f"the zip lacks {name}") from None


def _check(archive: zipfile.ZipFile, file_bytes: int, stored_only: bool) -> None:
    budget = Budget(file_bytes)
    stored = 0
    seen = set()
    for entry in archive.infolist():
        name = entry.filename
        parts = PurePosixPath(name.replace("\\", "/")).parts
        if ".." in parts or name.startswith(("/", "\\")):
            raise Refused(f"the zip has an entry that points outside of it: {name}")
        if name in seen:
            raise Refused(f"the zip has two entries {name}")
        seen.add(name)
        stored += entry.compress_size
        if stored_only and entry.compress_type != zipfile.ZIP_STORED:
            raise Refused(f"the zip's entry {name} is compressed, which PyTorch's never are")
        if stored > file_bytes or (
            entry.compress_type == zipfile.ZIP_STORED and entry.file_size != entry.compress_size
        ):
            raise Refused(f"the zip's entry {name} declares more bytes than the file has")
        budget.take(entry.file_size, f"the zip's entry {name}")
