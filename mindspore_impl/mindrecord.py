"""`python -m mindspore_impl.mindrecord`: see `--help`."""

import argparse
import fcntl
import hashlib
import os
import shutil
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

import numpy as np
from tqdm import tqdm

from common.data.coco import CocoDataset
from common.data.packed import (
    CONTENTS,
    MISSING,
    PACKED_KINDS,
    TRAINING,
    VALIDATION,
    annotation_text,
    index_name,
    read_contents,
    write_index,
)
from common.data.sources import Folder
from common.errors import UserError, run_command
from common.families import families_by_kind
from common.files import write_json
from mindspore_impl._mindrecord import (
    LARGEST_ROW,
    Row,
    blob_spans,
    file_bytes,
    find_rows,
    is_whole,
    row_bytes,
    write_file,
)

SHARD_BYTES = 256 << 20  # an interruption loses less than a shard
_MOST_ROWS = 20_000  # in a shard, whose header and whose page of short fields are no larger for many small images
_UNFINISHED = "unfinished"  # the folder in OUT of the shard that is being written


def main(argv: Sequence[str] | None = None) -> None:
    arguments = _parser().parse_args(argv)
    family, source, out = families_by_kind()[arguments.kind], Folder(arguments.root), arguments.out
    datasets = {TRAINING: source.training(family, arguments.kind)}
    others = source.validation(family, arguments.kind, lambda why: print(f"nothing to rate on: {why}"))
    datasets |= {name or VALIDATION: dataset for name, dataset in others.items()}
    parts = _open_parts(datasets)
    contents = {
        "data": source.name,
        "kind": arguments.kind,
        "shard_bytes": SHARD_BYTES,
        "parts": {name: part.describe() for name, part in parts.items()},
    }
    if _is_complete(out, contents):
        shutil.rmtree(out / _UNFINISHED, ignore_errors=True)  # killed at the very end
        print(f"{out} is complete: train with --mindrecord {out}")
        return
    shards = [shard for part in dict.fromkeys(parts.values()) for shard in part.shards]
    left = [shard for shard in shards if not is_whole(out / shard.name, shard.row_bytes)]
    _tell_size(parts, shards, left, out)
    with _claimed(out, contents) as unfinished:
        _write(left, out, unfinished)
        for part in dict.fromkeys(parts.values()):
            part.write_index(out)
        write_json(out / CONTENTS, contents)
    shutil.rmtree(unfinished)
    print(f"{out} is complete: train with --mindrecord {out}")


class _Part:
    """A data set that is written into files whose names begin with `stem`."""

    def __init__(self, stem: str, dataset: CocoDataset) -> None:
        self.stem, self.dataset = stem, dataset
        # (I,) the size of each image's file, MISSING where there is none.
        self.image_bytes = np.full(len(dataset), MISSING, np.int64)
        for position in np.setdiff1d(np.arange(len(dataset)), dataset.missing_images()).tolist():
            self.image_bytes[position] = _stat(dataset, position).st_size

    def describe(self) -> dict:
        """What went in: any change of it is a change of the data."""
        with self.dataset.annotations.open("rb") as file:
            annotations = hashlib.file_digest(file, "sha256").hexdigest()
        return {
            "stem": self.stem,
            "annotations": self.dataset.annotations.name,
            "annotations_sha256": annotations,
            "images": len(self.dataset),
            "image_bytes": int(self.image_bytes[self.image_bytes != MISSING].sum()),
            "image_sizes_sha256": hashlib.sha256(self.image_bytes.tobytes()).hexdigest(),
        }

    @cached_property
    def _texts(self) -> tuple[np.ndarray, np.ndarray]:
        """The sizes (I,) of the images' annotations as they are written, and where their long fields lie (N, 2, 2)."""
        sizes, spans = [], [np.zeros((0, 2, 2), np.int64)]
        bar = tqdm(range(len(self.dataset)), desc=f"measuring {self.stem}", unit="image", disable=None)
        for position in bar:
            text, long_fields = annotation_text(self.dataset, position)
            sizes.append(len(text))
            spans.append(long_fields)
        return np.array(sizes, np.int64), np.concatenate(spans)

    @property
    def text_bytes(self) -> np.ndarray:
        return self._texts[0]

    @cached_property
    def row_bytes(self) -> np.ndarray:
        """The sizes (I,) of the images' rows; one that does not fit into the format is refused."""
        sizes = row_bytes(np.maximum(self.image_bytes, 0), self.text_bytes)
        largest = int(sizes.argmax())
        if sizes[largest] > LARGEST_ROW:
            raise UserError(
                f"{self.dataset.path(largest)}: with its annotations it takes {_in_words(sizes[largest])}, while"
                f" MindRecord takes {_in_words(LARGEST_ROW)} for one image"
            )
        return sizes

    @cached_property
    def shards(self) -> list["_Shard"]:
        """The files that the images go into, in their order."""
        begins, used = [0], 0
        for position, size in enumerate(self.row_bytes.tolist()):
            if position > begins[-1] and (used + size > SHARD_BYTES or position - begins[-1] == _MOST_ROWS):
                begins.append(position)
                used = 0
            used += size
        ends = [*begins[1:], len(self.dataset)]
        return [_Shard(self, number, range(*both)) for number, both in enumerate(zip(begins, ends, strict=True))]

    def write_index(self, out: Path) -> None:
        """Writes the index of the files, which are all there."""
        paths = [out / shard.name for shard in self.shards]
        span = np.concatenate([shard.find_blobs(path) for shard, path in zip(self.shards, paths, strict=True)])
        span[self.image_bytes == MISSING, :2] = MISSING
        number = np.repeat(np.arange(len(paths)), [len(shard.positions) for shard in self.shards])
        files = {path.name: path.stat().st_size for path in paths}
        write_index(out / index_name(self.stem), self.dataset, files, number, span, self._texts[1])

    @property
    def index_bytes(self) -> int:
        """About how large the index will be."""
        return sum(column.nbytes for column in self.dataset.columns.values()) + 5 * self.image_bytes.nbytes


class _Shard:
    """The images at some positions of a part, which go into one file."""

    def __init__(self, part: _Part, number: int, positions: range) -> None:
        self.part, self.positions = part, positions
        self.name = f"{part.stem}.mindrecord{number:03d}"
        self.row_bytes = part.row_bytes[positions.start : positions.stop]

    def find_blobs(self, path: Path) -> np.ndarray:
        """Where in the written file each image's bytes and its annotations' text begin and end, (R, 4)."""
        return blob_spans(find_rows(path), self.part.text_bytes[self.positions.start : self.positions.stop])

    def write(self, folder: Path, bar: tqdm) -> None:
        """Writes the file into a folder, and reads it back to see that all is there."""
        path, written = folder / self.name, []

        def rows() -> Iterator[Row]:
            for position in self.positions:
                row = self._read_row(position)
                written.append([zlib.crc32(row.image), zlib.crc32(row.annotations)])
                yield row
                bar.update(self.part.row_bytes[position])

        write_file(path, rows(), self.row_bytes)
        with path.open("rb") as file:
            spans = self.find_blobs(path).reshape(-1, 2, 2).tolist()
            found = [[_checksum(file, *image), _checksum(file, *text)] for image, text in spans]
        if found != written:
            raise UserError(f"{path} does not read back as it was written: is the disk full or broken?")

    def _read_row(self, position: int) -> Row:
        part = self.part
        image = b""
        if part.image_bytes[position] != MISSING:
            try:
                image = part.dataset.encoded_image(position).tobytes()
            except OSError as error:
                raise UserError(f"{part.dataset.path(position)}: {error.strerror}") from None
            if len(image) != part.image_bytes[position]:
                raise UserError(f"{part.dataset.path(position)} has changed in the meantime")
        text, _ = annotation_text(part.dataset, position)
        return Row(int(part.dataset.image_ids[position]), part.dataset.file_name(position), image, text)


def _open_parts(datasets: Mapping[str, CocoDataset]) -> dict[str, _Part]:
    """The parts by name; where one annotation file is of several, they are one."""
    found: dict[Path, _Part] = {}
    for name, dataset in datasets.items():
        if dataset.annotations not in found:
            found[dataset.annotations] = _Part(name, dataset)
    return {name: found[dataset.annotations] for name, dataset in datasets.items()}


def _is_complete(out: Path, contents: dict) -> bool:
    """Whether a folder holds all of this data; one that holds other data or anything else is refused."""
    complete = read_contents(out / CONTENTS)
    begun = complete or read_contents(out / _UNFINISHED / CONTENTS)
    if begun is None:
        if out.exists() and (not out.is_dir() or any(each.name != _UNFINISHED for each in out.iterdir())):
            raise UserError(f"{out} exists and holds something else; remove it or choose another folder")
        return False
    for key in contents.keys() - {"data"}:
        if begun.get(key) != contents[key]:
            raise UserError(
                f"{out} holds a record of other data ({_first_difference(begun, contents)}); choose another folder for"
                " this data set"
            )
    return complete is not None


def _first_difference(begun: dict, contents: dict) -> str:
    """In what the data that a record was begun with differs."""
    flat = [
        {(key,): value for key, value in each.items() if key != "parts"}
        | {(name, key): value for name, part in each["parts"].items() for key, value in part.items()}
        for each in (begun, contents)
    ]
    key = next(key for key in [*flat[0], *flat[1]] if key != ("data",) and flat[0].get(key) != flat[1].get(key))
    return f"{' '.join(key)}: {flat[0].get(key)} there, {flat[1].get(key)} here"


def _tell_size(parts: Mapping[str, _Part], shards: Sequence[_Shard], left: Sequence[_Shard], out: Path) -> None:
    """Says how much disk the record takes, and refuses what does not fit."""
    for name, part in parts.items():
        print(f"{name}: {part.dataset.annotations}, {len(part.dataset)} images", flush=True)
    indexes = sum(part.index_bytes for part in dict.fromkeys(parts.values()))
    whole, needed = (sum(file_bytes(shard.row_bytes) for shard in some) + indexes for some in (shards, left))
    folder = next(each for each in (out.absolute(), *out.absolute().parents) if each.is_dir())
    free = shutil.disk_usage(folder).free
    resumed = f", of which {_in_words(whole - needed)} are there already" if whole > needed else ""
    print(f"the record takes {_in_words(whole)}{resumed}; {_in_words(free)} are free in {folder}", flush=True)
    if needed > free:
        raise UserError(f"{out}: another {_in_words(needed)} do not fit into the {_in_words(free)} that are free there")


@contextmanager
def _claimed(out: Path, contents: dict) -> Iterator[Path]:
    """Yields the empty folder for what is being written, which no other process has; says there what is written."""
    unfinished = out / _UNFINISHED
    unfinished.mkdir(parents=True, exist_ok=True)
    with (unfinished / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"{out}: another process is writing this record") from None
        write_json(unfinished / CONTENTS, contents)
        for path in unfinished.glob("*.mindrecord*"):
            path.unlink()
        yield unfinished


def _write(shards: Sequence[_Shard], out: Path, unfinished: Path) -> None:
    """Writes files, each of which comes under its name in `out` when it is whole."""
    total = sum(int(shard.row_bytes.sum()) for shard in shards)
    with tqdm(total=total, desc="writing", unit="B", unit_scale=True, disable=None) as bar:
        for shard in shards:
            shard.write(unfinished, bar)
            # MindSpore's index first: where the images are, it is, too. Both keep their names, which MindSpore checks.
            for name in (f"{shard.name}.db", shard.name):
                shutil.copymode(unfinished / CONTENTS, unfinished / name)  # MindSpore lets the owner alone read them
                os.replace(unfinished / name, out / name)


def _stat(dataset: CocoDataset, position: int) -> os.stat_result:
    try:
        return dataset.path(position).stat()
    except OSError as error:
        raise UserError(f"{dataset.path(position)}: {error.strerror}") from None


def _checksum(file: BinaryIO, begin: int, end: int) -> int:
    file.seek(begin)
    return zlib.crc32(file.read(end - begin))


def _in_words(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def _parser() -> argparse.ArgumentParser:
    program = "python -m mindspore_impl.mindrecord"
    parser = argparse.ArgumentParser(
        prog=program,
        description="Writes a data set in COCO's format as MindRecord files: the images' files as they are, and their\n"
        "annotations. `python -m mindspore_impl.train MODEL --mindrecord OUT` trains on them just as on ROOT, which\n"
        "may then go. Interrupted, the same command goes on where it stopped.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=f"examples:\n  {program} datasets/coco datasets/coco_mindrecord\n"
        f"  {program} datasets/coco datasets/persons_mindrecord --kind person_keypoints",
    )
    parser.add_argument("root", type=Path, metavar="COCO_ROOT", help="folder of a data set in COCO's format")
    parser.add_argument("out", type=Path, metavar="OUT", help="folder to write")
    parser.add_argument(
        "--kind",
        choices=PACKED_KINDS,
        default="instances",
        help="which annotations: instances (default), or person_keypoints for Pose2Seg; no panoptic ones",
    )
    return parser


if __name__ == "__main__":
    run_command(main)
