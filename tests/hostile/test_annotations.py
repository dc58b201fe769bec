"""Annotation files with faults drawn from a seed: each is evaluated on, or refused in a line that names a record."""

import copy
import json
from types import SimpleNamespace

import numpy as np
import pytest

from common.commands import evaluate
from common.data.check import check
from common.data.coco import CocoDataset
from common.errors import UserError
from common.models import load_settings
from common.results import Instances
from common.weights import Card
from tests.common.commands.still_learner import wing_with
from tests.common.data.coco_files import HEIGHT, WIDTH, annotation, image, write

FILES = 400
SETTINGS = load_settings("mask_rcnn_tiny", ["num_classes=2"])
SECTIONS = ("images", "categories", "annotations")
ODD = [
    *(None, True, 0, -1, 3.5, 1e400, 2**31 - 1, 2**40, 2**63, 10**30, -(2**62), "", "text", "\0", [], {}, {"a": 1}),
    *([1], [None], [[1, 2, 3]], [1, 2, 3, 4, 5], [-5, -5, -5, -5], ["a", "b", "c", "d"], [[5, 5, 1e9, 5, 15, 15]]),
    *({"counts": "xx", "size": [HEIGHT, WIDTH]}, {"counts": [0, 99999], "size": [HEIGHT, WIDTH]}),
]


def sound_file():
    crowd = {"iscrowd": 1, "segmentation": {"counts": [310, 5, 885], "size": [HEIGHT, WIDTH]}}
    objects = [annotation(10 + n, 1 + n % 3, category_id=(2, 7)[n % 2]) for n in range(5)]
    return {
        "images": [image(n) for n in (1, 2, 3)],
        "categories": [{"id": 7, "name": "cat"}, {"id": 2, "name": "dog"}],
        "annotations": [*objects, annotation(20, 2, **crowd)],
    }


def harm(content, rng):
    """One fault in the file; returns the words of which a refusal may have any."""
    sections = [name for name in SECTIONS if isinstance(content.get(name), list) and content[name]]
    if rng.random() < 0.06 or not sections:
        name = str(rng.choice(SECTIONS))
        content[name] = copy.deepcopy(ODD[rng.integers(len(ODD))])
        if rng.random() < 0.5:
            del content[name]
        return {name, "category"} if name == "categories" else {name}
    name = str(rng.choice(sections))
    place = int(rng.integers(len(content[name])))
    record = content[name][place]
    before = copy.deepcopy(record)
    what = rng.integers(5)
    if what == 0:
        content[name].append(copy.deepcopy(record))
    elif what == 1 or not isinstance(record, dict) or not record:
        content[name][place] = copy.deepcopy(ODD[rng.integers(len(ODD))])
    else:
        key = str(rng.choice(sorted(record)))
        record[key] = copy.deepcopy(ODD[rng.integers(len(ODD))])
        if what == 2:
            del record[key]
    ids = [each["id"] for each in (before, record) if isinstance(each, dict) and "id" in each]
    return {f"number {place + 1}", *(str(identity) for identity in ids)}


def finds_nothing_wrong(batch, score_threshold):
    """An object of each class in each image."""
    return [
        Instances(
            tuple(size),
            np.float32([[5, 5, 15, 15]] * 2),
            np.float32([0.9, 0.8]),
            np.array([0, 1]),
            np.ones((2, *size), bool),
        )
        for size in batch["original_size"].tolist()
    ]


@pytest.fixture
def evaluated(tmp_path, monkeypatch):
    """What evaluation answers to a file: None, or the line that refuses it."""
    card = Card(
        model=SETTINGS.model, source="", licence="", preprocessing=SETTINGS.preprocessing, classes=("dog", "cat")
    )
    learner = SimpleNamespace(framework="fake", device="cpu", predict=finds_nothing_wrong)
    monkeypatch.setattr(evaluate, "open_model", lambda *_: (learner, SETTINGS, card))
    write(tmp_path, [image(n) for n in (1, 2, 3)], [])
    words = ["mask_rcnn_tiny", "--data", str(tmp_path), "--weights", "w", "--workers", "0", "--batch-size", "2"]

    def run(content, *more):
        (tmp_path / "annotations.json").write_text(json.dumps(content))
        try:
            check(CocoDataset(tmp_path / "annotations.json", tmp_path / "images"))
        except UserError:
            with pytest.raises(UserError):
                evaluate.main(wing_with(lambda: None), [*words, *more])
        try:
            evaluate.main(wing_with(lambda: None), [*words, *more])
        except UserError as error:
            return " ".join(str(error).split())
        return None

    return run


def test_a_sound_file_is_rated(evaluated, capsys):
    assert evaluated(sound_file()) is None
    assert "box AP (COCO bbox" in capsys.readouterr().out


@pytest.mark.parametrize("part", [0, *(pytest.param(part, marks=pytest.mark.slow) for part in (1, 2, 3))])
def test_a_file_with_faults_is_rated_or_refused_by_name(evaluated, part):
    refused = 0
    for seed in range(part, FILES, 4):
        rng = np.random.default_rng(seed)
        content, words = sound_file(), set()
        for _ in range(rng.integers(1, 4)):
            words |= harm(content, rng)
        line = evaluated(content, *(["--pycocotools"] if seed % 8 > 3 else []))
        if line is not None:
            refused += 1
            assert any(word in line for word in words) or "not valid JSON" in line, (seed, words, line)
    assert 10 < refused < 90  # of a hundred
