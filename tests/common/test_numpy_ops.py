"""The contract's reference against what torchvision answered."""

from pathlib import Path

from common import numpy_ops
from tests.goldens import golden
from tests.goldens.roi_align_kind import RUNS

CASE = Path(__file__).parents[1] / "goldens" / "roi_align"


def test_roi_align_answers_the_golden_case():
    manifest, arrays = golden.manifest(CASE), golden.arrays(CASE)
    given = manifest["inputs"]["features"]
    features = golden.image(given["seed"], given["shape"])
    for name, run in RUNS.items():
        answer = golden.as_stored(numpy_ops.roi_align(features, arrays["in.rois"], *run), manifest["outputs"][name])
        assert golden.distance(answer, arrays[f"out.{name}"]) < 1e-5, name
