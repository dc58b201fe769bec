"""The kinds of result: how what a model predicts is drawn, saved, read back, rated and compared, in any framework.

`kind.py` has the contract. Each kind is a file here, which a family's record names; nobody else asks which kind it is.
"""

from common.results.drawing import ALL_PARTS, Parts
from common.results.instances import INSTANCES, InstanceKind, Instances
from common.results.kind import (
    Breakdowns,
    Classes,
    Comparison,
    Entry,
    Figures,
    Form,
    Prediction,
    Rating,
    Result,
    ResultKind,
    Results,
)
from common.results.panoptic import PANOPTIC, Panoptic, PanopticKind

__all__ = [
    "ALL_PARTS",
    "INSTANCES",
    "PANOPTIC",
    "Breakdowns",
    "Classes",
    "Comparison",
    "Entry",
    "Figures",
    "Form",
    "InstanceKind",
    "Instances",
    "Panoptic",
    "PanopticKind",
    "Parts",
    "Prediction",
    "Rating",
    "Result",
    "ResultKind",
    "Results",
]
