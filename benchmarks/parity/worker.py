"""One framework's part, in a process of its own.

`record` writes the reference, `compare` holds a wing against it, `dump` writes the reference's layers for a port that
was made elsewhere.

`python -m benchmarks.parity` starts it; FOLDER is a case that `prepare` made.
"""

import argparse
import importlib
import json
import resource
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.parity import layers, results, training
from benchmarks.parity.case import Case, make_learner
from benchmarks.parity.dumps import Archive, write_kinds, writing
from benchmarks.parity.finding import GATES, Finding
from benchmarks.parity.judge import Tolerances
from benchmarks.parity.majority import Departures, departures_folder
from benchmarks.parity.prepare import draw_missing_weights
from benchmarks.parity.progress import Progress
from common.errors import run_command
from common.files import atomic_path
from common.observing import Outputs

REFERENCE = "torch"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.parity.worker", description=__doc__)
    parser.add_argument("task", choices=("record", "compare", "dump"))
    parser.add_argument("framework")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--everything", action="store_true", help="record: the inner layers too")
    parser.add_argument("--gates", type=int, nargs="*", default=list(GATES), choices=list(GATES))
    arguments = parser.parse_args()
    learner_class = importlib.import_module(f"{arguments.framework}_impl.learner").Learner
    progress = Progress.open(arguments.folder, arguments.task, arguments.framework, arguments.gates)
    findings: list[Finding] = []
    not_recorded = False
    if arguments.task == "record":
        record(arguments.folder, learner_class, arguments.gates, progress, arguments.everything)
    elif arguments.task == "dump":
        dump(arguments.folder, learner_class)
    else:
        try:
            departures = Departures.create(departures_folder(arguments.folder, arguments.framework))
            findings = compare(arguments.folder, learner_class, arguments.gates, progress, departures)
        except layers.NotRecorded:
            not_recorded = True
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    answer = {"findings": [asdict(finding) for finding in findings], "seconds": progress.seconds, "peak_mib": peak}
    answer |= {"not_recorded": not_recorded}
    with atomic_path(arguments.folder / f"{arguments.task}_{arguments.framework}.json") as path:
        path.write_text(json.dumps(answer))


def record(folder: Path, learner_class: type, gates: list[int], progress: Progress, everything: bool = True) -> None:
    """Writes the reference's values into the case's folder, then its errors as float64 shows them."""
    case = _load_case(folder, gates)
    draw_missing_weights(case, learner_class, folder)
    rounded = progress.counted(make_learner(case, learner_class, folder))
    exact = progress.counted(make_learner(case, learner_class, folder, dtype="float64"))
    measured = folder / "tolerances.json"
    tolerances = Tolerances.load(measured) if measured.exists() else Tolerances()
    inputs = case.inputs()
    progress.time("forward", lambda: rounded.trace(inputs))
    if 1 in gates:
        progress.time("layers", lambda: layers.record(case, rounded, folder, everything))
        progress.time("layers in float64", lambda: layers.measure(case, exact, folder, tolerances))
    if 5 in gates:
        progress.time("results", lambda: results.record(case, rounded, folder))
        progress.time("results in float64", lambda: results.measure(case, exact, folder, tolerances))
    if {2, 3, 4} & set(gates):
        progress.time("training", lambda: training.record(case, rounded, folder, gates))
        progress.time("training in float64", lambda: training.measure(case, exact, folder, tolerances, gates))
    tolerances.save(measured)


def dump(folder: Path, learner_class: type) -> None:
    """Writes the reference's layers, in float32 and in float64, as ports are held against: `reference` in the case."""
    case = Case.load(folder)
    draw_missing_weights(case, learner_class, folder)
    inputs, reference = case.inputs(), folder / "reference"
    with writing(reference / "float64.npz") as archive:
        _dump(make_learner(case, learner_class, folder, dtype="float64"), inputs, archive)
    with writing(reference / "inputs.npz") as archive:
        archive.add(inputs)
    with writing(reference / "outputs.npz") as archive:
        archive.add(inputs)
        write_kinds(reference, _dump(make_learner(case, learner_class, folder), inputs, archive))


def _dump(learner: Any, inputs: dict[str, np.ndarray], archive: Archive) -> dict[str, str]:
    """Writes layers and stages while they are computed; gives their kinds by their names."""
    seen = Outputs(archive)
    stages = learner.trace(inputs, seen)
    archive.add(stages)
    return seen.kinds | dict.fromkeys(stages, "stage")


def compare(
    folder: Path,
    learner_class: type,
    gates: list[int],
    progress: Progress,
    departures: Departures | None = None,
) -> list[Finding]:
    """The findings of the gates about a wing; those of training are made last, for it moves the weights.

    departures: where the arrays that depart are kept, for a comparison with another wing's.
    """
    case = _load_case(folder, gates)
    tolerances = Tolerances.load(folder / "tolerances.json", departures)
    wing = progress.counted(make_learner(case, learner_class, folder))
    inputs = case.inputs()
    wing.trace(inputs)  # Jittor compiles here
    progress.time("forward", lambda: wing.trace(inputs))
    findings: list[Finding] = []
    if 1 in gates:
        start = layers.compare_start(case, wing, folder, tolerances)
        accumulated, injected = (
            progress.time(f"layers {mode}", partial(layers.compare, case, wing, folder, tolerances, mode))
            for mode in layers.MODES
        )
        findings += layers.assign_roles(start, accumulated, injected)
    if 5 in gates:
        findings += progress.time("results", lambda: results.compare(case, wing, folder, tolerances))
    if {2, 3, 4} & set(gates):
        findings += progress.time("training", lambda: training.compare(case, wing, folder, tolerances, gates))
    return sorted((finding for finding in findings if finding.gate in gates), key=lambda finding: finding.gate)


def _load_case(folder: Path, gates: list[int]) -> Case:
    case = Case.load(folder)
    return case if 4 in gates else replace(case, steps=0)


if __name__ == "__main__":
    run_command(main)
