"""The weights of PointRend, whose originals are a project of detectron2 and one of MindSpore's zoo."""

from collections.abc import Iterator

import numpy as np

from common.families.mask_rcnn.geometry import head_outputs
from common.families.mask_rcnn.settings import MaskRcnnNetwork, MaskRcnnSettings
from common.families.point_rend.settings import PointRendSettings
from weights_convert import swins
from weights_convert.families import Base, FamilyWeights, Layout, mask_rcnn
from weights_convert.families.mask_rcnn import layouts
from weights_convert.finetuning import ClassRows
from weights_convert.state_dicts import Entry, Weights, conv, linear


def detectron2(settings: PointRendSettings) -> Iterator[Entry]:
    """The state dict of detectron2's PointRend."""
    yield from layouts.detectron2_boxes(settings)
    network, outputs = settings.network, head_outputs(settings).masks
    point, coarse = "roi_heads.mask_head.point_head", "roi_heads.mask_head.coarse_head"
    for number in range(1, network.point_layers + 1):
        into = (network.point_channels if number > 1 else network.channels) + outputs
        yield from _points(f"{point}.fc{number}", f"point_head.fc{number}", network.point_channels, into)
    yield from _points(f"{point}.predictor", "point_head.logits", outputs, network.point_channels + outputs)
    reduce, width = f"{coarse}.reduce_spatial_dim_conv", network.coarse_channels
    yield from conv(reduce, "coarse_head.reduce", network.channels, network.channels, 2)
    yield from linear(f"{coarse}.fc1", "coarse_head.fc1", width, network.channels * (network.mask_size // 2) ** 2)
    yield from linear(f"{coarse}.fc2", "coarse_head.fc2", width, width)
    yield from linear(f"{coarse}.prediction", "coarse_head.logits", outputs * network.coarse_size**2, width)


def mindspore_zoo(settings: PointRendSettings) -> Iterator[Entry]:
    """The parameters of PointRend in MindSpore's zoo."""
    yield from layouts.mindspore_zoo_boxes(settings)
    # Mask R-CNN's mask head is saved along, which nothing computes with.
    for entry in layouts.mindspore_zoo_masks(as_mask_rcnn(settings)):
        yield entry._replace(canonical=None, written=np.zeros(entry.shape, np.float32))
    network, outputs = settings.network, head_outputs(settings).masks
    coarse, width = "mask_coarse_head", network.coarse_channels
    yield from conv(f"{coarse}.reduce_spatial_dim_conv", "coarse_head.reduce", network.channels, network.channels, 2)
    yield from linear(f"{coarse}.fcs_seq.0", "coarse_head.fc1", width, network.channels * (network.mask_size // 2) ** 2)
    yield from linear(f"{coarse}.fcs_seq.1", "coarse_head.fc2", width, width)
    yield from linear(f"{coarse}.prediction", "coarse_head.logits", outputs * network.coarse_size**2, width)
    point = []
    for number in range(1, network.point_layers + 1):
        into = (network.point_channels if number > 1 else network.channels) + outputs
        layer = f"mask_point_head.seq.{number - 1}"
        point += _points(layer, f"point_head.fc{number}", network.point_channels, into)
    point += _points("mask_point_head.predictor", "point_head.logits", outputs, network.point_channels + outputs)
    for entry in point:
        yield entry._replace(stored="with one axis more" if len(entry.shape) == 3 else "alike")


_ORIGINALS = {"detectron2": detectron2, "mindspore_zoo": mindspore_zoo}


def layouts_of(settings: PointRendSettings) -> dict[str, Layout]:
    """The state dict of the implementation whose conventions a variant follows, and Detectron's blobs.

    Without a ResNet as its backbone, or with other conventions, a variant is nobody's.
    """
    if settings.network.backbone.kind != "resnet" or settings.convention not in _ORIGINALS:
        return {}
    return {settings.convention: _ORIGINALS[settings.convention], "caffe2": layouts.caffe2}


def with_background(weights: Weights, settings: PointRendSettings) -> Weights:
    """The arrays, whose mask heads have a background where the network's have one and the file's have none.

    The zoo's variant with boolean indices (NOT_MASK) has no channel for the background, which stands first here. Zeros
    in its place leave all other channels' numbers as they were.
    """
    network, outputs = settings.network, head_outputs(settings).masks
    cells = network.coarse_size**2
    if settings.first_label == 0 or len(weights["coarse_head.logits.bias"]) != (outputs - 1) * cells:
        return weights
    completed = dict(weights)
    for name, rows in (("coarse_head.logits", cells), ("point_head.logits", 1)):
        for leaf in ("weight", "bias"):
            array = weights[f"{name}.{leaf}"]
            completed[f"{name}.{leaf}"] = np.concatenate([np.zeros((rows, *array.shape[1:]), array.dtype), array])
    widths = {f"fc{number}": network.point_channels for number in range(2, network.point_layers + 1)}
    for layer, width in (widths | {"fc1": network.channels, "logits": network.point_channels}).items():
        name = f"point_head.{layer}.weight"
        completed[name] = np.insert(completed[name], width, 0, axis=1)
    return completed


def class_heads(settings: PointRendSettings) -> dict[str, ClassRows]:
    """The heads whose rows belong to classes, by how the names of their arrays begin."""
    boxes = {name: rows for name, rows in mask_rcnn.class_heads(settings).items() if name.startswith("box_head.")}
    boxed = boxes["box_head.deltas."].background
    cells = settings.network.coarse_size**2
    return boxes | {"coarse_head.logits.": ClassRows(boxed, width=cells), "point_head.logits.": ClassRows(boxed)}


def as_mask_rcnn(settings: PointRendSettings) -> MaskRcnnSettings:
    """The Mask R-CNN that has all that stands before the masks."""
    network = settings.network.model_dump(include=set(MaskRcnnNetwork.model_fields))
    values = settings.model_dump(include=set(MaskRcnnSettings.model_fields))
    return MaskRcnnSettings.model_validate(values | {"family": "mask_rcnn", "network": network})


def _points(original: str, canonical: str, out: int, into: int) -> list[Entry]:
    """The arrays of a linear layer on points."""
    shape = (out, into, 1)
    return [
        Entry(f"{original}.weight", f"{canonical}.weight", shape),
        Entry(f"{original}.bias", f"{canonical}.bias", (out,)),
    ]


WEIGHTS = FamilyWeights(
    layouts=layouts_of,
    # The coarse logits join every layer of the point head, so that all of these change with the classes.
    heads=("box_head.classes.", "box_head.deltas.", "coarse_head.logits.", "point_head."),
    class_heads=class_heads,
    class_bias="box_head.classes.bias",
    read_backbone=mask_rcnn.read_backbone,
    added_to_backbone=swins.ADDED_TO_BACKBONE,
    complete=with_background,
    base=Base("mask_rcnn", as_mask_rcnn, left=("mask_head.",), added=("coarse_head.", "point_head.")),
)
