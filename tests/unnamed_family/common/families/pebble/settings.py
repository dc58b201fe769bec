"""The settings of Pebble."""

from typing import Literal, Self

from pydantic import model_validator

from common.config import Preprocessing, Section, Settings

# The network halves an image three times.
STRIDE = 8


class PebbleNetwork(Section):
    channels: int = 32
    mask_size: int = 8  # a side of an object's mask, in points
    frozen_norm: bool = False

    def freezes_norm(self, images_per_device: int) -> bool:
        """Whether batch norm stands still in training."""
        return self.frozen_norm


class PebbleDetection(Section):
    iou_threshold: float = 0.5
    max_detections: int = 20  # an image


class PebbleSettings(Settings):
    family: Literal["pebble"]
    preprocessing: Preprocessing
    network: PebbleNetwork = PebbleNetwork()
    detection: PebbleDetection = PebbleDetection()

    @property
    def grid(self) -> int:
        """How many cells lie along a side of an image."""
        return self.preprocessing.size // STRIDE

    def loss_terms(self) -> dict[str, tuple[str, float]]:
        """The losses by their names: in words, and with which weight."""
        return {"class": ("classes", 1.0), "box": ("boxes", 1.0), "mask": ("masks", 1.0)}

    @model_validator(mode="after")
    def _cells_fill_the_image(self) -> Self:
        if self.preprocessing.size % STRIDE:
            raise ValueError(f"preprocessing.size: {self.preprocessing.size} is no multiple of {STRIDE}")
        return self
