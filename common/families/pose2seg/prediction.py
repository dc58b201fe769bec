"""Runs a Pose2Seg network: its loss, its named stages, and the instances that it finds."""

from collections.abc import Mapping
from typing import Protocol

import numpy as np

from common.array import Array, namespace
from common.boxes import boxes_around
from common.errors import UserError
from common.families.pose2seg.losses import compute_mask_loss
from common.families.pose2seg.masks import paste
from common.families.pose2seg.settings import Pose2SegSettings
from common.families.pose2seg.skeletons import CHANNELS
from common.results import Instances
from common.training.choices import Choose, choose_own
from common.training.ranks import SumOverRanks, sum_of_one

# The arrays of a batch that the network takes; they have a row for each person, image after image.
_PERSON_ARRAYS = ("person_image", "grid", "skeletons")


class Network(Protocol):
    """The interface of every wing's `Pose2Seg`.

    features: images (N, 3, S, S) -> maps (N, C, h, w); segnet: rois (P, C + 55, s, s) -> logits (P, 2, s, s).
    """

    settings: Pose2SegSettings

    def features(self, image: Array) -> Array: ...
    def segnet(self, rois: Array) -> Array: ...


def gather_person_features(features: Array, persons: Mapping[str, Array], settings: Pose2SegSettings) -> Array:
    """Gathers each person's aligned features from maps (N, C, h, w), with the skeleton after them: (P, C + 55, s, s).

    persons: `person_image` (P,) int32, the map that each person is in, `grid` (P, s, s, 2), made by
    `make_sampling_grid`, and `skeletons` (P, 55, s, s). Without skeletons in the settings the result is (P, C, s, s).
    """
    xp = namespace(features)
    own = features if features.shape[0] == 1 else xp.take(features, persons["person_image"])
    aligned = xp.grid_sample(own, persons["grid"], align_corners=True)
    return xp.concatenate([aligned, persons["skeletons"]], axis=1) if settings.network.skeletons else aligned


def compute_losses(
    network: Network,
    batch: Mapping[str, Array],
    choose: Choose = choose_own,
    sum_over_ranks: SumOverRanks = sum_of_one,
) -> dict[str, Array]:
    """Computes the only loss, `mask`, of a training batch as `samples.Training.collate` makes it."""
    features = network.features(batch["image"])
    if batch["grid"].shape[0] == 0:  # this 0 depends on the network, so that there are gradients
        return {"mask": namespace(features).sum(features) * 0.0}
    logits = network.segnet(gather_person_features(features, batch, network.settings))
    return {"mask": compute_mask_loss(logits, batch["masks"], batch["normaliser.persons"])}


def run_stages(network: Network, image: Array, inputs: Mapping[str, np.ndarray]) -> dict[str, Array | np.ndarray]:
    """Runs a network on images (N, 3, S, S) and returns its stages by name.

    They are the features `p1` (N, C, h, w); if there are persons in the inputs, `rois` (P, C + 55, s, s) and `logits`
    (P, 2, s, s); and if the inputs are a whole batch for prediction, each image's `masks.INDEX` (P, H, W).
    """
    features = network.features(image)
    stages = {"p1": features}
    if "grid" in inputs:
        stages["rois"], stages["logits"] = _segment_persons(network, features, inputs)
        if "mask_matrices" in inputs:
            instances = _paste_into_images(_foreground_probabilities(stages["logits"]), inputs, network.settings)
            stages |= {f"masks.{index}": each.masks for index, each in enumerate(instances)}
    return stages


def find_instances(
    network: Network, image: Array, inputs: Mapping[str, np.ndarray], score_threshold: float = 0.0
) -> list[Instances]:
    """Finds each image's persons, in the order in which the batch has them.

    image: (N, 3, S, S); inputs: the other arrays of a batch for prediction, as `samples.join` makes it.
    """
    if len(inputs["grid"]) == 0:
        foreground = np.zeros((0, *[network.settings.network.align_size] * 2), np.float32)
    else:
        _, logits = _segment_persons(network, network.features(image), inputs)
        foreground = _foreground_probabilities(logits)
    return _paste_into_images(foreground, inputs, network.settings, score_threshold)


def _segment_persons(network: Network, features: Array, inputs: Mapping[str, np.ndarray]) -> tuple[Array, Array]:
    """Returns the persons' rois (P, C + 55, s, s) and logits (P, 2, s, s) from features (N, C, h, w)."""
    settings, xp = network.settings, namespace(features)
    _check_persons(inputs, settings, features.shape[0])
    if len(inputs["grid"]) == 0:
        size = settings.network.align_size
        return tuple(xp.zeros((0, width, size, size), like=features) for width in (settings.person_channels, 2))
    persons = {name: xp.asarray(inputs[name], like=features) for name in _PERSON_ARRAYS}
    rois = gather_person_features(features, persons, settings)
    return rois, network.segnet(rois)


def _foreground_probabilities(logits: Array) -> np.ndarray:
    """Returns the probabilities (P, s, s) of a person, sigmoid(person - background), from logits (P, 2, s, s)."""
    xp = namespace(logits)
    return xp.to_numpy(xp.sigmoid(logits[:, 1] - logits[:, 0]))


def _paste_into_images(
    foreground: np.ndarray, inputs: Mapping[str, np.ndarray], settings: Pose2SegSettings, score_threshold: float = 0.0
) -> list[Instances]:
    """Makes each image's instances, in its own pixels, from the persons' aligned probabilities (P, s, s).

    Persons of a score not over the threshold are left out; a threshold of 0 keeps all.
    """
    instances = []
    is_kept = inputs["person_score"] > score_threshold if score_threshold > 0 else np.bool_(True)
    for image, size in enumerate(inputs["original_size"].astype(int).tolist()):
        rows = np.flatnonzero((inputs["person_image"] == image) & is_kept)
        masks = paste(foreground[rows], inputs["mask_matrices"][rows], tuple(size), settings.detection.mask_threshold)
        scores, labels = inputs["person_score"][rows], np.zeros(len(rows), np.int64)
        instances.append(Instances(tuple(size), boxes_around(masks), scores, labels, masks))
    return instances


def _check_persons(inputs: Mapping[str, np.ndarray], settings: Pose2SegSettings, images: int) -> None:
    """Refuses arrays of persons that do not fit together; frameworks would accept some, or name none of them."""
    persons, size = len(inputs["grid"]), settings.network.align_size
    for name, shape in zip(_PERSON_ARRAYS, ((), (size, size, 2), (CHANNELS, size, size)), strict=True):
        if name not in inputs:
            raise UserError(f"there are persons, but no array called {name}")
        if inputs[name].shape != (persons, *shape):
            raise UserError(f"{name} has the shape {inputs[name].shape}, not {(persons, *shape)}")
    if not np.isin(inputs["person_image"], np.arange(images)).all():
        raise UserError(f"person_image is an image's index, from 0 to {images - 1}")
