"""A trained model from Python: images in, results and drawn images out. `X_impl.predictor` has it in a framework."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from common.errors import UserError
from common.families import config_files_of, family_of, family_records
from common.families.prompts import Prompt
from common.models import load_settings
from common.results import Instances, Panoptic, Result
from common.results.drawing import montage
from common.wing import Wing, open_model


class Predictor:
    """Finds instances with a score above `confidence_threshold`, at most `top_k` an image; or panoptic segments, too.

    model: a variant, an original's name for it, or a YAML file, of ours or an original's configuration (such as
    maskrcnn-benchmark's); without one, what the weights' card or name tells. weights: a file of any known format; with
    an original's configuration the one that it names need not be repeated. overrides: settings, as key.path=value.
    short_side: of the image as the network sees it, for models that take any size. classes: the names, where the
    weights do not tell them. masks_per_dim: how many heat maps stand in a row of a montage.
    """

    wing: Wing  # which each framework's own class names

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
        model, weights, overrides = _complete(self.wing, model, weights, overrides)
        if short_side is not None:
            if not hasattr(load_settings(model, overrides).preprocessing, "short_side"):
                raise UserError(f"short_side: {model} takes images of one size alone, which is preprocessing.size")
            overrides = [*overrides, f"preprocessing.short_side={short_side}"]
        self._learner, self.settings, card = open_model(self.wing, model, weights, overrides, device)
        self.classes = tuple(classes or card.classes)
        if len(self.classes) != len(card.classes):
            raise UserError(f"{weights} knows {len(card.classes)} classes, {len(self.classes)} names are given")
        self.confidence_threshold, self.top_k, self.masks_per_dim = confidence_threshold, top_k, masks_per_dim
        self._family = family_of(self.settings)
        self._kind = self._family.results(self.settings)

    def predict(self, image: np.ndarray, prompt: Any = None) -> Result:
        """(H, W, 3) uint8 RGB -> what is in it, in its own pixels: `Instances`, the best first, or a `Panoptic`.

        prompt: what the model must be told beside the image, where its family wants that. Pose2Seg's are the persons'
        key points (K, 17, 3) x, y, visibility in the image's pixels, whose order its instances keep.
        """
        _check_image(image)
        samples = self._family.samples
        sample = samples.prepare(image, self.settings) | self._check_prompt(prompt)
        (found,) = self._learner.predict(samples.join([sample], self.settings), self.confidence_threshold)
        return found.ranked(self.confidence_threshold, self.top_k)

    def draw(self, image: np.ndarray, result: Result) -> np.ndarray:
        """A copy of the image, RGB, with the masks, boxes, names and scores of what was found."""
        return self._kind.draw(image, result, self.classes)

    def run(self, image: np.ndarray, prompt: Any = None) -> tuple[Result, np.ndarray]:
        """(H, W, 3) uint8 RGB, and a prompt as for `predict` -> what is in it, and the image with that drawn in."""
        found = self.predict(image, prompt)
        return found, self.draw(image, found)

    def run_on_opencv_image(self, image: np.ndarray, prompt: Any = None) -> np.ndarray:
        """(H, W, 3) uint8 BGR, as OpenCV reads it -> a copy with what was found drawn in, BGR."""
        _check_image(image)
        return cv2.cvtColor(self.run(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), prompt)[1], cv2.COLOR_RGB2BGR)

    def run_as_modelscope(self, image: np.ndarray) -> dict[str, list]:
        """(H, W, 3) uint8 RGB -> its panoptic segments as ModelScope's pipeline answers: masks, labels and scores."""
        found = self.predict(image)
        if not isinstance(found, Panoptic):
            raise UserError(f"{self.settings.model} finds no panoptic segments")
        return found.modelscope_output(self.classes)

    def heat_maps(self, instances: Instances) -> np.ndarray:
        """(N, H, W) float32: how probable it is that a pixel belongs to an instance; its mask is where it does."""
        self._check_probabilities(instances)
        return self._family.heat_maps(instances, self.settings)

    def montage(self, image: np.ndarray, instances: Instances | None = None) -> np.ndarray:
        """The best instances' heat maps in a square, RGB; `instances` are those of `image`, if they are known."""
        found = self.predict(image) if instances is None else instances
        self._check_probabilities(found)
        best = found[: self.masks_per_dim**2]
        return montage(self.heat_maps(best), self.masks_per_dim, found.image_size)

    def _check_probabilities(self, found: Result) -> None:
        """Refuses results that no heat maps can be made of."""
        if self._family.heat_maps is None or found.probabilities is None:
            raise UserError(f"{self.settings.model}: there are no probabilities of masks")

    def _check_prompt(self, prompt: Any) -> Prompt:
        """The prompt as it joins the image's sample; refused where the model takes none, or another."""
        if self._family.prompts:
            return self._family.prompts.check(prompt, self.settings)
        if prompt is None:
            return {}
        kinds = [f"{each.prompts.noun}; they are for {each.network}" for each in family_records() if each.prompts]
        raise UserError(f"{self.settings.model} takes no {', and no '.join(kinds)}")


def _complete(
    wing: Wing, model: str | os.PathLike | None, weights: str | os.PathLike | None, overrides: Sequence[str]
) -> tuple[str, Path, list[str]]:
    """The model, its weights and its overrides, with what an original's configuration or the weights say of them."""
    overrides = list(overrides)
    is_file = model is not None and Path(model).suffix in (".yaml", ".yml")
    files = config_files_of(Path(model)) if is_file else None
    if files is not None:
        config = files.read(Path(model), ())
        model, overrides = config.model, config.overrides() + overrides
        weights = weights or config.weights("predict")
    if weights is None:
        raise UserError("the weights are missing")
    model = model or wing.model_of(Path(weights))
    if model is None:
        raise UserError(f"{weights} does not tell its model")
    return str(model), Path(weights), overrides


def _check_image(image: np.ndarray) -> None:
    """Refuses what is no image (H, W, 3) uint8 with a pixel."""
    if not (isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3):
        given = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise UserError(f"an image is an array (H, W, 3) of uint8, not {given}")
    if 0 in image.shape:
        raise UserError(f"the image is empty: {image.shape}")
