"""Gate 5: what is detected on images, and the figures by which it is rated."""

import json
from pathlib import Path
from typing import Any

from benchmarks.parity.case import Case
from benchmarks.parity.finding import Finding
from benchmarks.parity.judge import Judge
from benchmarks.parity.perturbing import perturbed
from benchmarks.parity.tolerances import Tolerances, threshold_floor
from common.evaluation.inference import predict_dataset
from common.families import family_of
from common.files import write_json
from common.results import Comparison, Results

GATE = 5


def record(case: Case, learner: Any, folder: Path) -> None:
    """Writes the reference's results."""
    write_json(folder / "results.json", _predict(case, learner))


def measure_perturbed(case: Case, learner: Any, folder: Path, tolerances: Tolerances) -> None:
    """Keeps what a perturbed run makes of the results that `record` wrote; learner: the reference's, in float32."""
    with perturbed(learner, 0):
        for pair in _compare(case, _recorded(folder), _predict(case, learner)):
            tolerances.measure_perturbed(Tolerances.key(GATE, pair.name), pair.other, pair.reference)


def compare(case: Case, learner: Any, folder: Path, judge: Judge) -> list[Finding]:
    """Judges a wing's results and their figures against the reference's."""
    return [
        judge(GATE, pair.name, "result", pair.reference, pair.other, floor=threshold_floor(pair))
        for pair in _compare(case, _recorded(folder), _predict(case, learner))
    ]


def _recorded(folder: Path) -> Results:
    return json.loads((folder / "results.json").read_text())


def _predict(case: Case, learner: Any) -> Results:
    family, dataset = family_of(case.settings), case.validation()
    samples, kind = family.samples.Inference(dataset, case.settings), family.results(case.settings)
    return predict_dataset(learner, case.settings, dataset, samples, kind, batch_size=1, workers=0)


def _compare(case: Case, reference: Results, other: Results) -> list[Comparison]:
    return family_of(case.settings).results(case.settings).compare(reference, other, case.validation())
