"""A dump of either form is read array by array, and a file that is none is named in one line."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from benchmarks.foreign.arrays import Archive, stored
from benchmarks.foreign.dump import read_dump
from benchmarks.parity.summary import passed
from common.errors import UserError
from tests.benchmarks.foreign.judged_dumps import judge, refusal

RNG = np.random.default_rng(0)
IMAGE = RNG.standard_normal((1, 3, 8, 8)).astype(np.float32)
LAYERS = {
    name: RNG.standard_normal((1, 4, 6, 6)).astype(np.float32) for name in ("stem.conv", "stem.norm", "head", "head@1")
}


@pytest.fixture
def reference(tmp_path) -> Path:
    folder = write_old(tmp_path / "reference", LAYERS)
    np.savez(folder / "float64.npz", **{name: array.astype(np.float64) * (1 + 1e-7) for name, array in LAYERS.items()})
    (folder / "kinds.json").write_text(json.dumps(dict.fromkeys(LAYERS, "Conv2d") | {"stem.norm": "BatchNorm2d"}))
    return folder


def write_old(folder: Path, layers: dict[str, np.ndarray], image: np.ndarray = IMAGE) -> Path:
    folder.mkdir()
    np.savez(folder / "outputs.npz", image=image, **layers)
    return folder


def test_a_dump_of_the_old_form_is_read_as_layers(reference, tmp_path):
    right = write_old(tmp_path / "right", {f"module.{name}": array * (1 - 1e-7) for name, array in LAYERS.items()})
    run = judge(reference, right).run
    assert passed([run]) and [finding.name for finding in run.findings] == list(LAYERS)
    scale = np.linspace(1.1, 1.4, 4, dtype=np.float32)[:, None, None]
    wrong = write_old(tmp_path / "wrong", LAYERS | {"stem.norm": LAYERS["stem.norm"] * scale})
    first = judge(reference, wrong).run.first()
    assert (first.name, first.kind, first.pattern) == ("stem.norm", "BatchNorm2d", "scale by channel")


def test_several_inputs_of_the_old_form_have_their_names(tmp_path):
    folder = write_old(tmp_path / "two", {"input.rois": np.ones(4), **LAYERS})
    dump = read_dump(folder)
    assert dump.inputs.names == ["image", "rois"] and dump.inputs.array("rois").sum() == 4
    assert dump.layers.names == list(LAYERS) and dump.steps == [] and dump.results is None


def test_another_input_is_refused(reference, tmp_path):
    assert "channels permuted" in refusal(reference, write_old(tmp_path / "bgr", LAYERS, IMAGE[:, ::-1]))
    assert "2 NaN or infinite" in refusal(reference, write_old(tmp_path / "nan", LAYERS, spoilt(IMAGE)))


def test_values_that_are_no_numbers_depart(reference, tmp_path):
    first = judge(reference, write_old(tmp_path / "nan", LAYERS | {"head": spoilt(LAYERS["head"])})).run.first()
    assert first.name == "head" and first.pattern == "not finite" and "2 NaN" in first.detail


def spoilt(array: np.ndarray) -> np.ndarray:
    array = array.copy()
    array[0, 0, 0, :2] = np.nan
    return array


def test_what_is_no_dump_is_refused(reference, tmp_path):
    folder = write_old(tmp_path / "port", {"a": np.array([None, "x"], object)})
    assert "outputs.npz: 'a' holds object, not real numbers" in refusal(reference, folder)
    (folder / "outputs.npz").write_bytes(b"PK no archive")
    assert "outputs.npz: not a file of arrays (npz)" in refusal(reference, folder)
    with zipfile.ZipFile(folder / "outputs.npz", "w") as archive:
        archive.writestr("readme.txt", "no array")
    assert "outputs.npz: not a file of arrays (npz)" in refusal(reference, folder)


def test_an_archive_grows_and_holds_any_name(tmp_path):
    """np.savez has parameters called file and args."""
    odd = {
        "file": np.zeros((0, 4), np.float32),
        "args": np.float32(3),
        "größe": np.ones(2, np.int64),
        "on": np.ones(2) > 0,
    }
    for name, array in odd.items():
        Archive(tmp_path / "odd.npz")[name] = array
        assert name in stored(tmp_path / "odd.npz")
    assert stored(tmp_path / "odd.npz").names == list(odd)
    content = bytearray((tmp_path / "odd.npz").read_bytes())
    content[content.index(odd["args"].tobytes())] ^= 0xFF
    (tmp_path / "odd.npz").write_bytes(content)
    with pytest.raises(UserError, match=r"odd.npz: .*'args\.npy'"):
        stored(tmp_path / "odd.npz").array("args")
