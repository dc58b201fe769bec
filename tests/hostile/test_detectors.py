"""Detectors' checkpoints made to do harm or merely broken: each ends in one line that names the file and the fault."""

import os
import pickle
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest

from common.errors import UserError
from common.models import load_settings
from tests.weights_convert.small_models import draw, small, small_or_other
from weights_convert import conversion, convert, open_weights, read_foreign
from weights_convert.writers import write_pth


class Calls:
    """Pickles as a call."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def opened(path: Path, tree: object) -> dict[str, np.ndarray]:
    path.write_bytes(pickle.dumps(tree, 2))
    return read_foreign(path)


@pytest.mark.parametrize("place", ["blob", "beside", "key", "options"])
def test_nothing_runs(tmp_path, place):
    touch = Calls(os.system, f"touch {tmp_path / 'ran'}")
    blobs = {"conv1_w": np.zeros((8, 3, 7, 7), np.float32)}
    tree = {
        "blob": {"blobs": blobs | {"fc6_w": touch}},
        "beside": {"blobs": blobs, "cfg": touch},
        "key": {"blobs": blobs | {(touch,): 1}},
        "options": {"model": blobs, "args": Namespace(output=touch)},
    }[place]
    with pytest.raises(UserError, match=r"w\.pkl: refused: "):
        opened(tmp_path / "w.pkl", tree)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("tree", [{"blobs": [1, 2]}, {"blobs": {}}, {"blobs": {"conv1_w": None}}, {"model": 3}, [], 7])
def test_a_pickle_without_weights_is_refused(tmp_path, tree):
    with pytest.raises(UserError, match=r"w\.pkl: "):
        opened(tmp_path / "w.pkl", tree)


def test_an_array_of_objects_is_refused(tmp_path):
    with pytest.raises(UserError, match="arrays of Python objects are refused"):
        opened(tmp_path / "w.pkl", {"blobs": {"conv1_w": np.array([None, {}], object)}})


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("roi_heads.box.predictor.cls_score.bias", np.zeros((2, 2), np.float32)),
        ("roi_heads.box.predictor.cls_score.bias", np.zeros(0, np.float32)),
        ("roi_heads.box.predictor.cls_score.bias", np.zeros((), np.float32)),
        ("roi_heads.box.predictor.bbox_pred.weight", np.zeros((15, 6), np.float32)),
        ("roi_heads.mask.predictor.mask_fcn_logits.weight", np.zeros((9, 8, 1, 1), np.float32)),
        ("rpn.head.conv.weight", np.zeros((8, 8, 3, 3), np.int64)),
        ("rpn.anchor_generator.cell_anchors.0", np.zeros((9, 4), np.float32)),
    ],
)
def test_an_array_that_is_no_such_layers_is_named(tmp_path, monkeypatch, name, array):
    monkeypatch.setattr(conversion, "load_settings", small_or_other)
    original = draw(small("mask_rcnn_r50_fpn"))
    assert name in original
    write_pth(tmp_path / "w.pth", original | {name: array})
    with pytest.raises(UserError, match=r"w\.pth: .*(box_head\.|mask_head\.logits|rpn\.)") as error:
        convert(tmp_path / "w.pth", "mask_rcnn_r50_fpn")
    assert "\n" not in str(error.value)


def test_names_of_two_originals_in_one_file(tmp_path):
    mixed = draw(small("mask_rcnn_r50_fpn")) | draw(small("mask_rcnn_r50_fpn_detectron2"))
    write_pth(tmp_path / "w.pth", mixed)
    with pytest.raises(UserError, match=r"w\.pth: "):
        open_weights(tmp_path / "w.pth", load_settings("mask_rcnn_r50_fpn"))


def test_an_empty_prefix_and_a_doubled_one(tmp_path):
    original = draw(small("mask_rcnn_r50_fpn"))
    for prefix in ("module.module.", ".", "module"):
        write_pth(tmp_path / "w.pth", {f"{prefix}{name}": array for name, array in original.items()})
        with pytest.raises(UserError, match=r"w\.pth: "):
            open_weights(tmp_path / "w.pth", load_settings("mask_rcnn_r50_fpn"))
