"""Golden cases of the two-stage models, for the pieces of them that stand alone: anchors, coding, matching, masks."""

from pathlib import Path

import numpy as np

from tests.goldens import golden

FOLDER = Path(golden.__file__).parent
FAMILIES = {"mb": "maskrcnn_benchmark", "tv": "torchvision", "d2": "detectron2"}
STRIDES = (4, 8, 16, 32, 64)


def arrays(case: str) -> dict[str, np.ndarray]:
    return golden.arrays(FOLDER / case)


def close(answer: np.ndarray, case: str, name: str, tolerance: float = 1e-5) -> None:
    """Holds an answer against the output of a case as it is stored there."""
    output = golden.manifest(FOLDER / case)["outputs"][name]
    distance = golden.distance(golden.as_stored(answer, output), arrays(case)[f"out.{name}"])
    assert distance <= tolerance, f"{case}: {name}: {distance:.2e}"
