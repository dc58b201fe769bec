"""Golden cases of the two-stage models, for the pieces of them that stand alone: anchors, coding, matching, masks."""

from pathlib import Path

import numpy as np

from common.families.mask_rcnn.conventions import CONVENTIONS
from tests.goldens import golden

FOLDER = Path(golden.__file__).parent
RULES = {
    "mb": CONVENTIONS["maskrcnn_benchmark"],
    "tv": CONVENTIONS["torchvision"],
    "d2": CONVENTIONS["detectron2"],
}
STRIDES = (4, 8, 16, 32, 64)


def arrays(case: str) -> dict[str, np.ndarray]:
    return golden.arrays(FOLDER / case)


def close(answer: np.ndarray, case: str, name: str, tolerance: float = 1e-5) -> None:
    """Holds an answer against the output of a case as it is stored there."""
    output = golden.manifest(FOLDER / case)["outputs"][name]
    distance = golden.distance(golden.as_stored(answer, output), arrays(case)[f"out.{name}"])
    assert distance <= tolerance, f"{case}: {name}: {distance:.2e}"
