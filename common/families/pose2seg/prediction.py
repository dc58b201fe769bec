"""A Pose2Seg network put to work: persons read from an image's features, their masks brought back into the image."""

from collections.abc import Mapping
from typing import Protocol

import numpy as np

from common.array import Array, namespace
from common.errors import UserError
from common.families.pose2seg.losses import compute_mask_loss
from common.families.pose2seg.masks import paste
from common.families.pose2seg.settings import Pose2SegSettings
from common.families.pose2seg.skeletons import CHANNELS
from common.results import Instances
from common.training.choices import Choose, choose_own

# What the network takes of a batch's persons, who stand in rows, image after image.
_OF_PERSONS = ("person_image", "grid", "skeletons")


class Network(Protocol):
    """What every wing's `Pose2Seg` is."""

    settings: Pose2SegSettings

    def features(self, image: Array) -> Array: ...
    def segnet(self, rois: Array) -> Array: ...


def gather_person_features(features: Array, persons: Mapping[str, Array], settings: Pose2SegSettings) -> Array:
    """Maps (N, C, h, w) -> (P, C + 55, s, s): each person's aligned features, and the skeleton behind them.

    persons: `person_image` (P,) int32, the map that each is in, `grid` (P, s, s, 2) of `sampling_grid`, and
    `skeletons` (P, 55, s, s).
    """
    xp = namespace(features)
    own = features if features.shape[0] == 1 else xp.take(features, persons["person_image"])
    aligned = xp.grid_sample(own, persons["grid"], align_corners=True)
    return xp.concatenate([aligned, persons["skeletons"]], axis=1) if settings.network.skeletons else aligned


def compute_losses(network: Network, batch: Mapping[str, Array], choose: Choose = choose_own) -> dict[str, Array]:
    """The one term, `mask`, of a training batch, which has beside the persons `masks` (P, s, s) and
    `normaliser.persons`, how many there are on all ranks.
    """
    features = network.features(batch["image"])
    if batch["grid"].shape[0] == 0:  # 0, but still of the network
        return {"mask": namespace(features).sum(features) * 0.0}
    logits = network.segnet(gather_person_features(features, batch, network.settings))
    return {"mask": compute_mask_loss(logits, batch["masks"], batch["normaliser.persons"])}


def run_stages(network: Network, image: Array, inputs: Mapping[str, np.ndarray]) -> dict[str, Array | np.ndarray]:
    """Every named stage of images (N, 3, S, S): the features p1 (N, C, h, w); with persons in the inputs also `rois`
    (P, C + 55, s, s) and `logits` (P, 2, s, s); with all of a batch for prediction each image's `masks.INDEX` too.
    """
    features = network.features(image)
    run_stages = {"p1": features}
    if "grid" in inputs:
        run_stages["rois"], run_stages["logits"] = _of_persons(network, features, inputs)
        if "mask_matrices" in inputs:
            found = _in_images(_foreground(run_stages["logits"]), inputs, network.settings)
            run_stages |= {f"masks.{index}": each.masks for index, each in enumerate(found)}
    return run_stages


def find_instances(
    network: Network, image: Array, inputs: Mapping[str, np.ndarray], score_threshold: float = 0.0
) -> list[Instances]:
    """Images (N, 3, S, S) and a batch for prediction -> of each image its persons, in the order of the batch."""
    if len(inputs["grid"]) == 0:
        foreground = np.zeros((0, *[network.settings.network.align_size] * 2), np.float32)
    else:
        _, logits = _of_persons(network, network.features(image), inputs)
        foreground = _foreground(logits)
    return _in_images(foreground, inputs, network.settings, score_threshold)


def _of_persons(network: Network, features: Array, inputs: Mapping[str, np.ndarray]) -> tuple[Array, Array]:
    """The rois and the logits."""
    settings, xp = network.settings, namespace(features)
    _check(inputs, settings, features.shape[0])
    if len(inputs["grid"]) == 0:
        size = settings.network.align_size
        return tuple(xp.zeros((0, width, size, size), like=features) for width in (settings.person_channels, 2))
    persons = {name: xp.asarray(inputs[name], like=features) for name in _OF_PERSONS}
    rois = gather_person_features(features, persons, settings)
    return rois, network.segnet(rois)


def _foreground(logits: Array) -> np.ndarray:
    """(P, 2, s, s) -> the probabilities of a person (P, s, s)"""
    xp = namespace(logits)
    return xp.to_numpy(xp.sigmoid(logits[:, 1] - logits[:, 0]))


def _in_images(
    foreground: np.ndarray, inputs: Mapping[str, np.ndarray], settings: Pose2SegSettings, score_threshold: float = 0.0
) -> list[Instances]:
    """Probabilities (P, s, s) -> each image's persons in its own pixels; a threshold of 0 keeps all of them."""
    found = []
    wanted = inputs["person_score"] > score_threshold if score_threshold > 0 else np.bool_(True)
    for image, size in enumerate(inputs["original_size"].astype(int).tolist()):
        rows = np.flatnonzero((inputs["person_image"] == image) & wanted)
        masks = paste(foreground[rows], inputs["mask_matrices"][rows], tuple(size), settings.detection.mask_threshold)
        scores, labels = inputs["person_score"][rows], np.zeros(len(rows), np.int64)
        found.append(Instances(tuple(size), _boxes(masks), scores, labels, masks))
    return found


def _boxes(masks: np.ndarray) -> np.ndarray:
    """(P, H, W) bool -> (P, 4) float32 xyxy around the true pixels; zeros where there are none"""
    boxes = np.zeros((len(masks), 4), np.float32)
    for first, axis in ((0, 1), (1, 2)):
        seen = masks.any(axis=axis)
        last = np.where(seen.any(axis=1), seen.shape[1] - seen[:, ::-1].argmax(axis=1), 0)
        boxes[:, first], boxes[:, first + 2] = seen.argmax(axis=1), last
    return boxes


def _check(inputs: Mapping[str, np.ndarray], settings: Pose2SegSettings, images: int) -> None:
    """Refuses what does not fit together, which a framework would take or speak of in words of its own."""
    persons, size = len(inputs["grid"]), settings.network.align_size
    for name, shape in zip(_OF_PERSONS, ((), (size, size, 2), (CHANNELS, size, size)), strict=True):
        if name not in inputs:
            raise UserError(f"there are persons, but no array called {name}")
        if inputs[name].shape != (persons, *shape):
            raise UserError(f"{name} has the shape {inputs[name].shape}, not {(persons, *shape)}")
    if not np.isin(inputs["person_image"], np.arange(images)).all():
        raise UserError(f"person_image is an image's index, from 0 to {images - 1}")
