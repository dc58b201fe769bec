"""The settings of Cascade Mask R-CNN: those of Mask R-CNN, and its stages."""

from dataclasses import replace
from typing import Any, Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, PrivateAttr, model_validator

from common.config import Section
from common.families.mask_rcnn.conventions import Convention
from common.families.mask_rcnn.settings import MaskRcnnNetwork, MaskRcnnSettings, RcnnLosses


class CascadeNetwork(MaskRcnnNetwork):
    # A box head: 3x3 convolutions with batch norm, over the regions of all ranks, and then linear layers.
    box_convolutions: int = Field(4, ge=0)
    box_layers: PositiveInt = 1
    class_agnostic_boxes: bool = False  # all classes share a region's offsets


class CascadeStage(Section):
    """One run of the second stage."""

    positive_iou: float = Field(ge=0, le=1)  # from this overlap on a region is of an object
    region_weights: tuple[PositiveFloat, PositiveFloat, PositiveFloat, PositiveFloat]  # of the box coder
    loss_weight: float = Field(1.0, ge=0)


class CascadeLosses(RcnnLosses):
    # giou: of decoded boxes; smooth l1: of offsets.
    boxes: Literal["giou", "smooth l1"] = "giou"
    box_weight: float = Field(10.0, ge=0)


class CascadeSettings(MaskRcnnSettings):
    family: Literal["cascade_mask_rcnn"]
    network: CascadeNetwork
    losses: CascadeLosses = CascadeLosses()
    stages: tuple[CascadeStage, ...] = Field(min_length=1)

    _stage: int | None = PrivateAttr(None)

    def of_stage(self, number: int) -> Self:
        """The settings with the numbers of a stage, from 0: its overlap among the losses, its coder in the rules."""
        losses = self.losses.model_copy(update={"positive_iou": self.stages[number].positive_iou})
        settings = self.model_copy(update={"losses": losses})
        settings._stage = number
        return settings

    @property
    def rules(self) -> Convention:
        """How the original does what the originals do differently; of a stage, with its box coder."""
        if self._stage is None:
            return super().rules
        return replace(super().rules, region_weights=self.stages[self._stage].region_weights)

    def loss_terms(self) -> dict[str, tuple[str, float]]:
        """Returns the losses by their names, each with a description in words and its weight."""
        terms = {name: term for name, term in super().loss_terms().items() if name in ("objectness", "rpn_boxes")}
        for number, stage in enumerate(self.stages, start=1):
            weights = {"classes": 1.0, "boxes": self.losses.box_weight, "masks": 1.0}
            for name, weight in weights.items():
                what = "objects" if name == "masks" else "regions"
                terms[f"{name}{number}"] = f"of {what} in stage {number}", weight * stage.loss_weight
        return terms

    def numerics(self) -> dict[str, Any]:
        """The settings that Mask R-CNN's numbers depend on, and the box coders of the stages."""
        return super().numerics() | {"stages.region_weights": [list(stage.region_weights) for stage in self.stages]}

    @model_validator(mode="after")
    def _has_a_pyramid(self) -> Self:
        if not self.network.fpn:
            raise ValueError("network.fpn: the cascade's heads read a feature pyramid, and C4 has none")
        return self

    @model_validator(mode="after")
    def _the_background_is_last(self) -> Self:
        if self.network.background != "last":
            raise ValueError("network.background: the cascade's heads have it last")
        return self
