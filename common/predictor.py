"""A trained model from Python: images in, instances and drawn images out. `X_impl.predictor` has it in a framework."""

import os
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from common.commands.wing import open_model
from common.data.figures import KEYPOINT_NAMES
from common.errors import UserError
from common.families import family_of
from common.families.mask_rcnn.maskrcnn_benchmark import is_config, read_config
from common.families.mask_rcnn.masks import paste
from common.models import load_settings
from common.results import Instances
from common.results.drawing import montage


class Predictor:
    """Finds instances with a score above `confidence_threshold`, at most `top_k` an image.

    model: a variant, an original's name for it, or a YAML file of ours or of maskrcnn-benchmark; without one, what the
    weights' card or name tells. weights: a file of any known format; with maskrcnn-benchmark's YAML the one that it
    names need not be repeated. overrides: settings, as key.path=value. short_side: of the image as the network sees it,
    for models that take any size. classes: the names, where the weights do not tell them. masks_per_dim: how many heat
    maps stand in a row of a montage.
    """

    framework: str  # a wing's own

    def __init__(
        self,
        model: str | os.PathLike | None = None,
        weights: str | os.PathLike | None = None,
        *,
        device: str = "auto",
        confidence_threshold: float = 0.7,
        short_side: int | None = None,
        top_k: int = 100,
        classes: Sequence[str] | None = None,
        masks_per_dim: int = 2,
        overrides: Sequence[str] = (),
    ):
        model, weights, overrides = _chosen(model, weights, overrides)
        if short_side is not None:
            if not hasattr(load_settings(model, overrides).preprocessing, "short_side"):
                raise UserError(f"short_side: {model} takes images of one size alone, which is preprocessing.size")
            overrides = [*overrides, f"preprocessing.short_side={short_side}"]
        self._learner, self.settings, card = open_model(self.framework, model, weights, overrides, device)
        self.classes = tuple(classes or card.classes)
        if len(self.classes) != len(card.classes):
            raise UserError(f"{weights} knows {len(card.classes)} classes, {len(self.classes)} names are given")
        self.confidence_threshold, self.top_k, self.masks_per_dim = confidence_threshold, top_k, masks_per_dim
        family = family_of(self.settings)
        self._samples, self._kind = family.samples, family.results(self.settings)

    def predict(self, image: np.ndarray, keypoints: np.ndarray | None = None) -> Instances:
        """(H, W, 3) uint8 RGB -> its instances in its own pixels, the best first.

        Pose2Seg needs the persons' key points (K, 17, 3) x, y, visibility in the image's pixels, and keeps their order.
        """
        _check_image(image)
        if self.settings.data_kind == "person_keypoints":
            sample = self._samples.prepare(image, _checked(keypoints, self.settings.model), self.settings)
        elif keypoints is None:
            sample = self._samples.prepare(image, self.settings)
        else:
            raise UserError(f"{self.settings.model} takes no key points; they are for Pose2Seg")
        batch = self._samples.join([sample], self.settings)
        (found,) = self._learner.predict(batch, self.confidence_threshold)
        return found.ranked(self.confidence_threshold, self.top_k)

    def draw(self, image: np.ndarray, instances: Instances) -> np.ndarray:
        """A copy of the image, RGB, with the instances' masks, boxes, names and scores."""
        return self._kind.draw(image, instances, self.classes)

    def run(self, image: np.ndarray, keypoints: np.ndarray | None = None) -> tuple[Instances, np.ndarray]:
        """(H, W, 3) uint8 RGB, and key points as for `predict` -> its instances, and the image with these drawn in."""
        found = self.predict(image, keypoints)
        return found, self.draw(image, found)

    def run_on_opencv_image(self, image: np.ndarray, keypoints: np.ndarray | None = None) -> np.ndarray:
        """(H, W, 3) uint8 BGR, as OpenCV reads it -> a copy with the instances drawn in, BGR."""
        _check_image(image)
        return cv2.cvtColor(self.run(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), keypoints)[1], cv2.COLOR_RGB2BGR)

    def heat_maps(self, instances: Instances) -> np.ndarray:
        """(N, H, W) float32: how probable it is that a pixel belongs to an instance; its mask is where it does."""
        soft = instances.probabilities
        if soft is None:
            raise UserError(f"{self.settings.model}: there are no probabilities of masks")
        if instances.probability_boxes is not None:
            return paste(soft, instances.probability_boxes, instances.image_size, self.settings.convention)
        height, width = instances.image_size
        maps = np.zeros((len(soft), height, width), np.float32)
        for place, each in zip(maps, soft, strict=True):
            cv2.resize(each, (width, height), dst=place, interpolation=cv2.INTER_LINEAR)
        return maps

    def montage(self, image: np.ndarray, instances: Instances | None = None) -> np.ndarray:
        """The best instances' heat maps in a square, RGB; `instances` are those of `image`, if they are known."""
        found = self.predict(image) if instances is None else instances
        best = found[: self.masks_per_dim**2]
        return montage(self.heat_maps(best), self.masks_per_dim, found.image_size)


def _chosen(
    model: str | os.PathLike | None, weights: str | os.PathLike | None, overrides: Sequence[str]
) -> tuple[str, Path, list[str]]:
    """The model, its weights and its overrides, with what a file of maskrcnn-benchmark or the weights say of them."""
    from weights_convert import model_of

    overrides = list(overrides)
    if model is not None and Path(model).suffix in (".yaml", ".yml") and is_config(model):
        config = read_config(Path(model))
        model, overrides = config.model, config.overrides() + overrides
        weights = weights or config.weights("predict")
    if weights is None:
        raise UserError("the weights are missing")
    model = model or model_of(weights)
    if model is None:
        raise UserError(f"{weights} does not tell its model")
    return str(model), Path(weights), overrides


def _check_image(image: np.ndarray) -> None:
    if not (isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3):
        what = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise UserError(f"an image is an array (H, W, 3) of uint8, not {what}")
    if 0 in image.shape:
        raise UserError(f"the image is empty: {image.shape}")


def _checked(keypoints: np.ndarray | None, model: str) -> np.ndarray:
    """Key points as they are, if they are any."""
    shape = None if keypoints is None else np.shape(keypoints)
    if shape is None or len(shape) != 3 or shape[1:] != (len(KEYPOINT_NAMES), 3):
        what = "none are given" if shape is None else f"not {shape}"
        raise UserError(f"{model} needs the persons' key points, (K, {len(KEYPOINT_NAMES)}, 3); {what}")
    if not np.isfinite(keypoints).all():
        raise UserError(f"{model}: key points must be finite numbers")
    return np.asarray(keypoints)
