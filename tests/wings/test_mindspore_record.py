"""MindRecord: training reads the same from the record as from the folder, whatever happened while it was written."""

import json
import re
import shutil
import signal
import subprocess
import sys
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from mindspore.dataset import MindDataset
from mindspore.mindrecord import FileWriter

from common.commands import train
from common.data.check import check
from common.data.coco import CocoDataset
from common.data.loader import Loader
from common.data.packed import PackedDataset, PackedSource
from common.data.shapes import write_shapes
from common.data.sources import Folder
from common.errors import UserError
from common.families import family_of
from common.models import load_settings
from mindspore_impl import mindrecord
from mindspore_impl.wing import WING
from tests.common.data.coco_files import HEIGHT, WIDTH, annotation, image, jpeg_to_be_turned, write
from tests.frameworks import wing_of

ROOT = Path(__file__).parents[2]
SHARD_BYTES = 200_000  # a few of the made-up images


@pytest.fixture(scope="module")
def shapes(tmp_path_factory) -> Path:
    return write_shapes(tmp_path_factory.mktemp("data") / "shapes", images=12, seed=0, val_images=3)


@pytest.fixture(autouse=True)
def _small_shards(monkeypatch):
    monkeypatch.setattr(mindrecord, "SHARD_BYTES", SHARD_BYTES)


def convert(root: Path, out: Path, *options: str) -> Path:
    mindrecord.main([str(root), str(out), *options])
    return out


def batches(dataset: CocoDataset, model: str, workers: int) -> list:
    settings = load_settings(model, ["num_classes=4"] if "mask_rcnn" in model else [])
    samples = family_of(settings).samples.Training(dataset, settings)
    with Loader(samples, samples.collate, len(samples), 2, seed=3, workers=workers, start_step=1) as loader:
        return list(islice(loader, 3))


@pytest.mark.parametrize(
    ("model", "kind", "workers"),
    [
        ("mask_rcnn_tiny", "instances", 0),
        pytest.param("mask_rcnn_tiny", "instances", 2, marks=pytest.mark.slow),
        ("pose2seg_tiny", "person_keypoints", 0),
        ("yolact_tiny", "instances", 0),
        ("point_rend_tiny", "instances", 0),
    ],
)
def test_the_batches_are_the_folders(shapes, tmp_path, model, kind, workers):
    family = family_of(load_settings(model))
    source = PackedSource(convert(shapes, tmp_path / "out", "--kind", kind))
    assert len(list(source.folder.glob("train.mindrecord*.db"))) > 2
    found, expected = (batches(each.training(family, kind), model, workers) for each in (source, Folder(shapes)))
    assert [step for step, _ in found] == [step for step, _ in expected] == [1, 2, 3]
    for (_, one), (_, other) in zip(found, expected, strict=True):
        assert one.keys() == other.keys()
        for name in one:
            assert one[name].dtype == other[name].dtype
            np.testing.assert_array_equal(one[name], other[name], err_msg=name)


@pytest.fixture
def faulty(tmp_path) -> tuple[CocoDataset, PackedDataset]:
    """A data set with all that may be wrong, or unusual, in its folder and in its record."""
    images = [image(3), image(1), image(9, file_name="not here.png"), image(4, width=0, height=0), image(5), image(6)]
    polygon = [[5, 5, 15, 5, 15, 15, 5, 15]]
    annotations = [
        annotation(1, 1, iscrowd=1, segmentation={"size": [HEIGHT, WIDTH], "counts": [100, 50, HEIGHT * WIDTH - 150]}),
        annotation(2, 3, area=None, score=0.1),
        annotation(3, 1, segmentation=None),
        annotation(4, 9, category_id=7),
        annotation(5, 3, bbox=[0.1, 0.2, 1e3, 7.3], ignore=1, segmentation=[*polygon, [1, 2]]),
        annotation(6, 77),
        annotation(7, 4, bbox="wrong"),
        annotation(8, 4, area=1 / 3),
    ]
    root = write(tmp_path / "faulty", images, annotations)
    (root / "images/not here.png").unlink()
    (root / "images/5.png").write_bytes(b"")
    (root / "images/6.png").write_bytes(jpeg_to_be_turned(np.full((WIDTH, HEIGHT, 3), 90, np.uint8), 6))
    convert(root, tmp_path / "out")
    family = family_of(load_settings("yolact_tiny"))
    return tuple(each.training(family, "instances") for each in (Folder(root), PackedSource(tmp_path / "out")))


def test_faults_and_oddities_are_the_folders(faulty):
    reports = [check(dataset) for dataset in faulty]
    told = [
        re.sub(r"\([^()]*(\d\.png)\)", r"(\1)", "\n".join(str(each) for each in report.faults)) for report in reports
    ]
    assert told[0] == told[1] and "images whose file is missing" in told[0] and "cannot be decoded" in told[0]
    np.testing.assert_array_equal(reports[0].usable, reports[1].usable)
    for folder, packed in (faulty, [each.select_images(np.array([5, 0, 1])) for each in faulty]):
        assert folder.class_names == packed.class_names and folder.category_ids == packed.category_ids
        for position in np.setdiff1d(np.arange(len(folder)), folder.missing_images()).tolist():
            assert packed.file_name(position) == folder.file_name(position)
            np.testing.assert_array_equal(packed.encoded_image(position), folder.encoded_image(position))
            assert packed.truth(position) == folder.truth(position)
        np.testing.assert_array_equal(packed.load(0).masks, folder.load(0).masks)
    assert [len(part) for part in faulty[1].polygons(0, 0)] == [8]
    with pytest.raises(UserError, match=r"image 9 \(.*train.mindrecord000/not here.png\): No such file or directory"):
        faulty[1].image(2)


def test_mindspore_reads_the_record_itself(shapes, tmp_path):
    out = convert(shapes, tmp_path / "out")
    dataset = Folder(shapes).training(family_of(load_settings("yolact_tiny")), "instances")
    whole = json.loads(dataset.annotations.read_text())
    files = [str(path) for path in sorted(out.glob("train.mindrecord*")) if path.suffix != ".db"]
    rows = list(MindDataset(files, shuffle=False).create_dict_iterator(num_epochs=1, output_numpy=True))
    assert [int(row["image_id"]) for row in rows] == dataset.image_ids.tolist()
    for position, row in enumerate(rows):
        assert row["file_name"] == dataset.file_name(position)
        assert row["image"].tobytes() == dataset.encoded_image(position).tobytes()
        for found in json.loads(row["annotations"].tobytes()):
            expected = next(each for each in whole["annotations"] if each["id"] == found["id"])
            assert expected["image_id"] == row["image_id"]
            assert found.items() <= expected.items() and "segmentation" in found


KILLED_IN_THE_THIRD_SHARD = """
import os, signal, sys
from mindspore.mindrecord import FileWriter
from mindspore_impl import mindrecord
mindrecord.SHARD_BYTES = {shard_bytes}
commit, count = FileWriter.commit, iter(range(100))
def killed(writer):
    if next(count) == 2:
        os.kill(os.getpid(), {signal})
    commit(writer)
FileWriter.commit = killed
mindrecord.run_command(lambda: mindrecord.main(sys.argv[1:]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_stopped_conversion_goes_on(shapes, tmp_path, capsys, how):
    out = tmp_path / "out"
    code = KILLED_IN_THE_THIRD_SHARD.format(shard_bytes=SHARD_BYTES, signal=int(how))
    process = subprocess.run(
        [sys.executable, "-c", code, str(shapes), str(out)], cwd=ROOT, capture_output=True, text=True
    )
    assert (process.returncode, "Traceback" in process.stderr) == (130 if how == signal.SIGINT else -how, False)
    written = {path.name: path.stat().st_mtime_ns for path in out.glob("*.mindrecord*")}
    assert sorted(written) == [f"train.mindrecord00{n}{ending}" for n in (0, 1) for ending in ("", ".db")]
    with pytest.raises(UserError, match="no record that was written to its end"):
        PackedSource(out).training(family_of(load_settings("yolact_tiny")), "instances")
    convert(shapes, out)
    assert "of which" in capsys.readouterr().out
    assert all((out / name).stat().st_mtime_ns == moment for name, moment in written.items())
    whole = convert(shapes, tmp_path / "whole")
    assert sorted(path.name for path in out.iterdir()) == sorted(path.name for path in whole.iterdir())
    for index in whole.glob("*.index.npz"):
        with np.load(index) as one, np.load(out / index.name) as other:
            assert all(np.array_equal(one[name], other[name]) for name in one.files)
    for shard in whole.glob("*.mindrecord???"):
        assert (out / shard.name).read_bytes() == shard.read_bytes()


def test_a_shard_that_is_cut_short_is_written_anew(shapes, tmp_path):
    out = convert(shapes, tmp_path / "out")
    (out / "unfinished").mkdir()
    (out / "record.json").rename(out / "unfinished/record.json")
    whole = (out / "train.mindrecord001").read_bytes()
    (out / "train.mindrecord001").write_bytes(whole[:-1])
    assert (convert(shapes, out) / "train.mindrecord001").read_bytes() == whole


@pytest.mark.parametrize("shard_bytes", [SHARD_BYTES, 256 << 20])
def test_the_disk_that_it_takes_is_told(tmp_path, monkeypatch, capsys, shard_bytes):
    monkeypatch.setattr(mindrecord, "SHARD_BYTES", shard_bytes)
    root = write_shapes(tmp_path / "shapes", images=20, seed=1, size=(240, 320))
    out = convert(root, tmp_path / "out")
    told = float(re.search(r"the record takes ([\d.]+) MB; ", capsys.readouterr().out)[1])
    taken = sum(path.stat().st_size for path in out.iterdir()) / 1e6
    assert told == pytest.approx(taken, rel=0.02)


def test_a_record_that_does_not_fit_is_not_begun(shapes, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1_000_000))
    with pytest.raises(UserError, match=r"another [\d.]+ MB do not fit into the 1.0 MB that are free"):
        convert(shapes, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_a_disk_that_fills_up_is_one_line(shapes, tmp_path, monkeypatch):
    told = "Exception thrown\n---\n[ERROR] No free disk to be used\n---\n- C++ Call Stack"

    def refuse(*_):
        raise RuntimeError(told)

    line = r"train\.mindrecord000: MindSpore cannot write it: No free disk to be used$"
    with monkeypatch.context() as patch, pytest.raises(UserError, match=line):
        patch.setattr(FileWriter, "write_raw_data", refuse)
        convert(shapes, tmp_path / "out")
    assert not list((tmp_path / "out").glob("*.mindrecord*"))
    convert(shapes, tmp_path / "out")


def test_other_data_are_not_mixed_in(shapes, tmp_path, capsys):
    root, out = tmp_path / "shapes", tmp_path / "out"
    shutil.copytree(shapes, root)
    convert(root, out)
    before = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    capsys.readouterr()
    convert(root, out)
    assert capsys.readouterr().out == f"{out} is complete: train with --mindrecord {out}\n"
    with pytest.raises(
        UserError, match=r"holds a record of other data \(kind: instances there, person_keypoints here\)"
    ):
        convert(root, out, "--kind", "person_keypoints")
    picture = sorted((root / "val").iterdir())[0]
    picture.write_bytes(picture.read_bytes() + b"\0")
    with pytest.raises(UserError, match=r"holds a record of other data \(val image_bytes: \d+ there, \d+ here\)"):
        convert(root, out)
    annotations = root / "annotations/instances_train.json"
    annotations.write_text(annotations.read_text().replace("circle", "ring"))
    with pytest.raises(UserError, match=r"other data \(train annotations_sha256: \w+ there, \w+ here\)"):
        convert(root, out)
    assert {path: path.stat().st_mtime_ns for path in out.iterdir()} == before
    with pytest.raises(UserError, match="exists and holds something else"):
        convert(shapes, root)


def test_what_the_record_lacks_is_one_line(shapes, tmp_path):
    out, run = convert(shapes, tmp_path / "out"), f"--output={tmp_path / 'run'}"
    with pytest.raises(UserError, match="made with --kind instances, while models that find persons"):
        train.main(WING, ["pose2seg_tiny", f"--mindrecord={out}", run])
    with pytest.raises(UserError, match="not allowed with argument --mindrecord"):
        train.main(WING, ["mask_rcnn_tiny", f"--mindrecord={out}", f"--data={shapes}", run])
    with pytest.raises(UserError, match="--mindrecord is required"):
        train.main(WING, ["mask_rcnn_tiny", run])
    with pytest.raises(UserError, match="unrecognized arguments: --mindrecord"):
        train.main(wing_of("torch"), ["mask_rcnn_tiny", f"--data={shapes}", f"--mindrecord={out}", run])
    (out / "train.mindrecord001").write_bytes(b"")
    with pytest.raises(UserError, match=r"train.mindrecord001 has changed since it was written: 0 bytes, not \d+"):
        train.main(WING, ["mask_rcnn_tiny", f"--mindrecord={out}", run])
    (out / "train.index.npz").write_bytes(b"PK")
    with pytest.raises(UserError, match="not an index that was written here"):
        train.main(WING, ["mask_rcnn_tiny", f"--mindrecord={out}", run])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "kind", "settings"),
    [
        ("mask_rcnn_tiny", "instances", []),
        ("pose2seg_tiny", "person_keypoints", ["preprocessing.size=64", "network.align_size=32"]),
    ],
)
def test_training_is_the_same(shapes, tmp_path, monkeypatch, model, kind, settings):
    """The folder is gone when the record is trained on; its validation part is rated, too."""
    monkeypatch.setenv("MS_JIT", "0")  # compiling takes most of the time, and what is read stays the same
    root, out = tmp_path / "shapes", tmp_path / "out"
    shutil.copytree(shapes, root)
    convert(root, out, "--kind", kind)
    for name, data in (("folder", f"--data={root}"), ("record", f"--mindrecord={out}")):
        words = [model, data, f"--output={tmp_path / name}", "--iterations=2", "--batch-size=2", "--device=cpu"]
        train.main(WING, [*words, "--workers=1", "schedule.log_every=1", *settings])
        shutil.rmtree(root, ignore_errors=True)
    logs = [(tmp_path / name / "log.jsonl").read_text().splitlines() for name in ("folder", "record")]
    folder, record = ([json.loads(line) for line in lines] for lines in logs)
    assert [line.get("losses", line.get("evaluation")) for line in record] == [
        line.get("losses", line.get("evaluation")) for line in folder
    ]
    assert "evaluation" in record[-1]
    weights = [(tmp_path / name / "weights.safetensors").read_bytes() for name in ("folder", "record")]
    assert weights[0] == weights[1]
