"""Training from weights of other classes: rows go with the names of their classes, in every head."""

import numpy as np
import pytest

from common.data.class_names import COCO, class_names
from common.models import load_settings
from weights_convert import family_of
from weights_convert.finetuning import start_from

THEIRS = ("cat", "dog", "person", "car")
OURS = ("person", "tree", "cat")
BACKGROUND = "the background"


def head_rows(model, classes):
    """Of each head's rows whose they are, as (class, which of the class's), written down from the networks' outputs.

    YOLACT reads its classes' output as (priors, background and classes); a two-stage head's deltas are (classes, 4).
    """
    settings = load_settings(model)
    if settings.family == "yolact":
        priors = {"yolact_tiny": 3, "yolact_plus_resnet50": 9}[model]
        heads = {
            "head.classes": [(name, prior) for prior in range(priors) for name in (BACKGROUND, *classes)],
            "semantic": [(name, 0) for name in classes],
        }
        if settings.network.mask_iou:
            heads["mask_iou_net.conv6"] = [(name, 0) for name in classes]
        return heads
    if settings.convention == "detectron2":
        scored, boxed = (*classes, BACKGROUND), classes
    else:
        scored = boxed = (BACKGROUND, *classes)
    return {
        "box_head.classes": [(name, 0) for name in scored],
        "box_head.deltas": [(name, side) for name in boxed for side in range(4)],
        "mask_head.logits": [(name, 0) for name in boxed],
    }


def head_arrays(model, classes, seed):
    """Each head's weight and bias, all numbers different."""
    rng = np.random.default_rng(seed)
    return {
        f"{head}.{leaf}": rng.standard_normal((len(rows), *((5,) if leaf == "weight" else ()))).astype(np.float32)
        for head, rows in head_rows(model, classes).items()
        for leaf in ("weight", "bias")
    }


@pytest.mark.parametrize(
    "model",
    [
        "yolact_tiny",
        "yolact_plus_resnet50",
        "mask_rcnn_r50_fpn",
        "mask_rcnn_r50_c4",
        "mask_rcnn_r50_fpn_torchvision",
        "mask_rcnn_r50_fpn_detectron2",
    ],
)
def test_rows_go_with_their_names(model):
    settings = load_settings(model)
    convolution = np.ones((2, 3), np.float32)
    other = {"backbone.conv1.weight": convolution}
    weights, drawn = head_arrays(model, THEIRS, 1) | other, head_arrays(model, OURS, 2) | other
    start = start_from(weights, drawn, family_of(settings).class_heads(settings), THEIRS, OURS)
    assert list(start.weights) == list(weights) and start.weights["backbone.conv1.weight"] is convolution
    theirs, ours = head_rows(model, THEIRS), head_rows(model, OURS)
    assert (start.known, start.unknown, start.heads, start.skipped) == (("person", "cat"), ("tree",), tuple(ours), ())
    for head, rows in ours.items():
        for leaf in ("weight", "bias"):
            name = f"{head}.{leaf}"
            for number, row in enumerate(rows):
                expected = weights[name][theirs[head].index(row)] if row in theirs[head] else drawn[name][number]
                assert np.array_equal(start.weights[name][number], expected), (name, row)


@pytest.mark.parametrize("model", ["yolact_tiny", "yolact_plus_resnet50", "mask_rcnn_r50_fpn_detectron2"])
def test_the_heads_are_those_whose_size_follows_from_the_classes(model):
    few, many = (load_settings(model, [f"num_classes={count}"]) for count in (3, 7))
    family = family_of(few)
    shapes, others = family.canonical_shapes(few), family.canonical_shapes(many)
    heads = family.class_heads(few)
    for name, shape in shapes.items():
        rows = next((rows for prefix, rows in heads.items() if name.startswith(prefix)), None)
        assert (rows is not None) == (shape != others[name]), name
        if rows:
            assert (rows.rows_by_class(3).size, rows.rows_by_class(7).size) == (shape[0], others[name][0]), name


def test_torchvision_s_ids_become_coco_s_classes():
    """Row n of its heads is category n, and the background is row 0: toothbrush is 90 there and 80 of COCO's names."""
    model = "mask_rcnn_r50_fpn_torchvision"
    settings = load_settings(model)
    known = class_names(90)
    numbers = {"box_head.classes.bias": np.arange(91, dtype=np.float32)}
    drawn = {"box_head.classes.bias": np.full(81, -1, np.float32)}
    start = start_from(numbers, drawn, family_of(settings).class_heads(settings), known, COCO)
    kept = start.weights["box_head.classes.bias"]
    assert kept[[0, 1, 12, 13, 80]].tolist() == [0, 1, 13, 14, 90] and kept.min() == 0
    assert start.summary() == "80 of 80 classes kept by name"


@pytest.mark.parametrize("known", [THEIRS, ("class 1", "class 2", "class 3", "class 4")])
def test_the_same_classes_keep_everything(known):
    settings = load_settings("mask_rcnn_r50_fpn")
    weights, drawn = (head_arrays("mask_rcnn_r50_fpn", THEIRS, seed) for seed in (1, 2))
    start = start_from(weights, drawn, family_of(settings).class_heads(settings), known, THEIRS)
    assert all(np.array_equal(start.weights[name], weights[name]) for name in weights)
    assert (start.summary(), start.lines()) == ("", [])


def test_the_same_classes_in_another_order_change_places():
    settings = load_settings("mask_rcnn_r50_fpn")
    names = tuple(reversed(THEIRS))
    weights, drawn = (head_arrays("mask_rcnn_r50_fpn", THEIRS, seed) for seed in (1, 2))
    start = start_from(weights, drawn, family_of(settings).class_heads(settings), THEIRS, names)
    bias = weights["box_head.classes.bias"]
    assert start.weights["box_head.classes.bias"].tolist() == bias[[0, 4, 3, 2, 1]].tolist()


def test_heads_of_other_priors_are_drawn_as_a_whole():
    settings = load_settings("yolact_tiny")
    weights = head_arrays("yolact_plus_resnet50", THEIRS, 1) | {"head.box.bias": np.ones(36, np.float32)}
    drawn = head_arrays("yolact_tiny", OURS, 2) | {"head.box.bias": np.zeros(12, np.float32)}
    weights = {name: array for name, array in weights.items() if name in drawn}
    start = start_from(weights, drawn, family_of(settings).class_heads(settings), THEIRS, OURS)
    assert start.skipped == ("head.classes.weight", "head.classes.bias", "head.box.bias")
    assert start.heads == ("semantic",)
    assert start.lines() == [
        "classes of semantic",
        "  kept (2): person, cat",
        "  drawn afresh (1): tree",
    ]
