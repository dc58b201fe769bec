"""Gate 0 judges what became of an image's bytes, and reads from it what was done otherwise."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from benchmarks.foreign import Recorder
from benchmarks.foreign.dump import read_dump
from benchmarks.foreign.judging import judge_dumps
from benchmarks.foreign.measure import Measure
from benchmarks.foreign.recipes import read_recipe
from benchmarks.parity.summary import passed
from common.errors import UserError

MEAN, DEVIATION = np.array([123.675, 116.28, 103.53]), np.array([58.395, 57.12, 57.375])


@pytest.fixture(scope="module")
def picture(tmp_path_factory) -> Path:
    rng = np.random.default_rng(0)
    smooth = cv2.resize(rng.integers(0, 256, (12, 16, 3)).astype(np.uint8), (80, 60), interpolation=cv2.INTER_CUBIC)
    noisy = np.clip(smooth + rng.normal(0, 12, smooth.shape), 0, 255).astype(np.uint8)
    path = tmp_path_factory.mktemp("picture") / "cat.png"
    assert cv2.imwrite(str(path), noisy)
    return path


def prepare(
    path: Path, order="rgb", mean=MEAN, deviation=DEVIATION, size=(32, 48), by="pillow", pad=0, value=0.0, last=False
) -> np.ndarray:
    pixels = cv2.imread(str(path))[:, :, ::-1]
    if by == "pillow":
        pixels = np.asarray(Image.fromarray(np.ascontiguousarray(pixels)).resize(size[::-1], Image.Resampling.BILINEAR))
    else:
        pixels = cv2.resize(np.ascontiguousarray(pixels), size[::-1], interpolation=cv2.INTER_LINEAR)
    pixels = pixels if order == "rgb" else pixels[:, :, ::-1]
    prepared = ((pixels - mean) / deviation).astype(np.float32)
    prepared = np.pad(prepared, ((0, pad), (0, pad), (0, 0)), constant_values=value)
    return prepared[None] if last else prepared.transpose(2, 0, 1)[None]


def judge(folder: Path, picture: Path, tolerance=None, **fault):
    for name, options in (("reference", {}), ("port", fault)):
        Recorder(folder / name).image(picture, prepare(picture, **options))
    ours = read_dump(folder / "reference")
    return judge_dumps(ours, read_dump(folder / "port"), Measure(ours, tolerance)).run


def test_the_same_preparation_passes(picture, tmp_path):
    run = judge(tmp_path, picture)
    assert passed([run]) and [finding.gate for finding in run.findings] == [0]


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"order": "bgr", "mean": MEAN[::-1], "deviation": DEVIATION[::-1]}, "order: bgr, the reference has rgb"),
        ({"mean": np.full(3, 127.5)}, "mean: 127.5, 127.5, 127.5, the reference has 123.7, 116.3, 103.5"),
        ({"deviation": np.ones(3)}, "deviation: 1, 1, 1, the reference has 58.39, 57.12, 57.38"),
        ({"by": "opencv"}, "resize: OpenCV's bilinear to 48 x 32, the reference has Pillow's bilinear to 48 x 32"),
    ],
)
def test_what_was_done_otherwise_is_read(picture, tmp_path, fault, words):
    finding = judge(tmp_path, picture, **fault).first()
    assert finding.gate == 0 and finding.kind == "preprocessing"
    assert finding.usual_cause == words


def test_padding_is_read(picture):
    recipe = read_recipe(picture, prepare(picture, pad=8, value=-2.0))
    assert recipe.is_found and recipe.padding == (0, 0, 8, 8) and np.allclose(recipe.padding_values, -2)
    assert recipe.resize == "Pillow's bilinear to 48 x 32"
    assert read_recipe(picture, prepare(picture, last=True)).layout == "channels last"
    assert read_recipe(picture, np.zeros((2, 5))) is None


def test_a_middle_that_was_cut_out_is_read(picture):
    whole = prepare(picture, size=(36, 48))
    recipe = read_recipe(picture, whole[:, :, 2:34, 8:40])
    assert recipe.is_found and "to a short side of 36, the middle cut out" in recipe.resize


def test_two_images_are_no_comparison(picture, tmp_path):
    other = tmp_path / "other.png"
    cv2.imwrite(str(other), cv2.imread(str(picture))[::-1])
    Recorder(tmp_path / "reference").image(picture, prepare(picture))
    Recorder(tmp_path / "port").image(other, prepare(other))
    ours = read_dump(tmp_path / "reference")
    with pytest.raises(UserError, match="their bytes differ"):
        judge_dumps(ours, read_dump(tmp_path / "port"), Measure(ours))


def test_a_network_that_was_given_another_picture_is_judged_no_further(picture, tmp_path):
    for name, order in (("reference", "rgb"), ("port", "bgr")):
        image = prepare(picture, order=order)
        record = Recorder(tmp_path / name, {"image": image})
        record.image(picture, image)
        record.layer("conv", image * 2)
    ours = read_dump(tmp_path / "reference")
    judgement = judge_dumps(ours, read_dump(tmp_path / "port"), Measure(ours, 1e-4))
    assert [finding.gate for finding in judgement.run.findings] == [0]
    assert judgement.not_judged[1].startswith("the networks were given different inputs")
