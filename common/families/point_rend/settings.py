"""The settings of PointRend: those of Mask R-CNN, and its points."""

from typing import ClassVar, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from common.config import Section
from common.families.mask_rcnn.settings import MaskRcnnNetwork, MaskRcnnSettings


class PointRendNetwork(MaskRcnnNetwork):
    """The network's sizes; `mask_size` is the side of the grid on which the coarse head reads a region."""

    coarse_size: PositiveInt = 7  # cells of the coarse mask, a side
    coarse_channels: PositiveInt = 1024  # of the coarse head's two layers
    point_channels: PositiveInt = 256  # of the point head's layers
    point_layers: PositiveInt = 3
    masks_alone: bool = False  # the two mask heads train, and all that stands before them stands still


class TrainingPoints(Section):
    """The points of a region on which the point head trains."""

    count: PositiveInt = 196
    oversampling: float = Field(3.0, ge=1)  # so many times `count` are candidates
    importance: float = Field(0.75, ge=0, le=1)  # the share that is taken of the unsurest candidates

    @property
    def candidates(self) -> int:
        """How many points are drawn, of which the unsurest are taken."""
        return int(self.count * self.oversampling)

    @property
    def unsure(self) -> int:
        """How many of the candidates are taken; the other points are drawn without a choice."""
        return int(self.count * self.importance)


class Subdivision(Section):
    """How a coarse mask becomes a fine one: each step doubles its sides and computes the unsurest cells anew."""

    steps: int = Field(5, ge=0)
    points: PositiveInt = 784  # cells that a step computes, at most
    # Between what of the cells masks are interpolated when their sides are doubled; corners: the upper left ones.
    measured_from: Literal["centres", "corners"] = "centres"


class PointRendSettings(MaskRcnnSettings):
    training_keys: ClassVar[tuple[str, ...]] = (*MaskRcnnSettings.training_keys, "masks_alone")

    family: Literal["point_rend"]
    # index: the rows that count are picked by their positions, so that shapes change from batch to batch; mask: every
    # image has all its rows, and those that do not count have no weight. The numbers are the same.
    variant: Literal["mask", "index"] = "index"
    network: PointRendNetwork
    points: TrainingPoints = TrainingPoints()
    subdivision: Subdivision = Subdivision()

    def mask_sides(self) -> list[int]:
        """The sides of a mask from the first grid of the subdivision to the last.

        The first is as fine as its points suffice for at once, and each doubling up to it takes the place of a step.
        """
        side, steps = self.network.coarse_size, self.subdivision.steps
        while steps and 4 * side**2 <= self.subdivision.points:
            side, steps = 2 * side, steps - 1
        return [side * 2**step for step in range(steps + 1)]

    def loss_terms(self) -> dict[str, tuple[str, float]]:
        """Returns the losses by their names, each with a description in words and its weight."""
        of_masks = {"masks": ("of objects", 1.0), "points": ("of points", 1.0)}
        return of_masks if self.network.masks_alone else super().loss_terms() | of_masks

    @model_validator(mode="after")
    def _has_a_pyramid(self) -> Self:
        if not self.network.fpn:
            raise ValueError("network.fpn: PointRend reads the finest map of a feature pyramid, and C4 has none")
        return self

    @model_validator(mode="after")
    def _what_stands_still_has_no_statistics(self) -> Self:
        if self.network.masks_alone and not self.network.frozen_norm:
            raise ValueError("network.masks_alone: the norms stand still, too: give network.frozen_norm=true")
        return self
