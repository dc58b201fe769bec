"""One framework's part, in a process of its own.

`draw` writes weights where none are given, `record` the reference's values, `compare` holds a wing against these, and
`dump` writes the reference's layers for a port that was made elsewhere.

`python -m benchmarks.parity` starts it; FOLDER is a case that `prepare` made.
"""

import argparse
import importlib
import json
import resource
from dataclasses import asdict
from functools import partial
from pathlib import Path

from benchmarks.foreign import Recorder
from benchmarks.parity import layers, results, steps, training
from benchmarks.parity.case import Case, make_learner
from benchmarks.parity.finding import GATES, Run
from benchmarks.parity.judge import Judge
from benchmarks.parity.majority import Departures, departures_folder
from benchmarks.parity.prepare import draw_missing_weights
from benchmarks.parity.progress import Progress
from benchmarks.parity.tolerances import Tolerances
from common.errors import run_command
from common.files import atomic_path

REFERENCE = "torch"
ANSWERED = ("findings", "losses", "sensitivity", "seconds")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.parity.worker", description=__doc__)
    parser.add_argument("task", choices=("draw", "record", "compare", "dump"))
    parser.add_argument("framework")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--gates", type=int, nargs="*", default=list(GATES), choices=list(GATES))
    arguments = parser.parse_args()
    learner_class = importlib.import_module(f"{arguments.framework}_impl.learner").Learner
    answer = {}
    if arguments.task == "draw":
        draw_missing_weights(Case.load(arguments.folder), learner_class, arguments.folder)
    elif arguments.task == "dump":
        dump(arguments.folder, learner_class)
    else:
        progress = Progress.open(arguments.folder, arguments.task, arguments.framework, arguments.gates)
        work = record if arguments.task == "record" else compare
        run = work(arguments.folder, learner_class, arguments.gates, progress)
        answer = {name: value for name, value in asdict(run).items() if name in ANSWERED}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    with atomic_path(arguments.folder / f"{arguments.task}_{arguments.framework}.json") as path:
        path.write_text(json.dumps(answer | {"peak_mib": peak}))


def record(folder: Path, learner_class: type, gates: list[int], progress: Progress) -> Run:
    """Writes the reference's values into the case's folder, and its errors."""
    case = Case.load(folder)
    draw_missing_weights(case, learner_class, folder)
    measured = folder / "tolerances.json"
    tolerances = Tolerances.load(measured)
    rounded = progress.counted(make_learner(case, learner_class, folder))
    inputs, losses = case.inputs(), []
    progress.time("forward", lambda: rounded.trace(inputs))
    if 1 in gates:
        progress.time("layers", lambda: layers.record(case, rounded, folder))
    if 5 in gates:
        progress.time("results", lambda: results.record(case, rounded, folder))
        progress.time("results perturbed", lambda: results.measure_perturbed(case, rounded, folder, tolerances))
    if 4 in gates:
        losses = progress.time("steps", lambda: steps.record(case, rounded, folder))
        progress.time("steps perturbed", lambda: steps.measure_perturbed(case, rounded, folder, tolerances))
    elif {2, 3} & set(gates):
        progress.time("gradients", lambda: training.record(case, rounded, folder))
        progress.time("gradients perturbed", lambda: training.measure_perturbed(case, rounded, folder, tolerances))
    if 1 in gates:
        exact = progress.counted(make_learner(case, learner_class, folder, dtype="float64"))
        progress.time("layers in float64", lambda: layers.measure(case, exact, folder, tolerances))
    tolerances.save(measured)
    return Run(REFERENCE, REFERENCE, losses=losses, seconds=progress.seconds)


def dump(folder: Path, learner_class: type) -> None:
    """Writes the reference's layers, in float32 and in float64, as ports are held against: `reference` in the case."""
    case = Case.load(folder)
    draw_missing_weights(case, learner_class, folder)
    inputs, reference = case.inputs(), folder / "reference"
    for dtype, run in (("float64", reference / "float64"), ("float32", reference)):
        record = Recorder(run, inputs, framework=REFERENCE)
        stages = make_learner(case, learner_class, folder, dtype=dtype).trace(inputs, record)
        for name, array in stages.items():
            record.layer(name, array, "stage")


def compare(folder: Path, learner_class: type, gates: list[int], progress: Progress) -> Run:
    """Holds a wing against the reference; gate 4 comes last, for it moves the weights."""
    case = Case.load(folder)
    departures = Departures.create(departures_folder(folder, learner_class.framework))
    judge = Judge(Tolerances.load(folder / "tolerances.json"), departures)
    wing = progress.counted(make_learner(case, learner_class, folder))
    inputs = case.inputs()
    wing.trace(inputs)  # Jittor compiles here
    progress.time("forward", lambda: wing.trace(inputs))
    findings, losses = [], []
    if 1 in gates:
        start = layers.compare_start(case, wing, folder, judge)
        accumulated, injected = (
            progress.time(f"layers {mode}", partial(layers.compare_modules, case, wing, folder, judge, mode))
            for mode in layers.MODES
        )
        as_used = progress.time("layers as used", lambda: layers.compare_as_used(case, wing, folder, judge))
        findings += layers.assign_roles(start, accumulated, injected, as_used)
        progress.time("layers with faults", lambda: layers.count_found_faults(case, wing, folder, judge))
    if 5 in gates:
        findings += progress.time("results", lambda: results.compare(case, wing, folder, judge))
    of_training = []
    if 4 in gates:
        of_training, losses = progress.time("steps", lambda: steps.compare(case, wing, folder, judge))
    elif {2, 3} & set(gates):
        of_training = progress.time("gradients", lambda: training.compare(case, wing, folder, judge))
    findings += training.assign_roles([finding for finding in of_training if finding.gate in gates])
    findings = sorted(findings, key=lambda finding: finding.gate)
    figures = {gate: figure for gate, figure in judge.sensitivity.figures().items() if gate in gates}
    return Run(learner_class.framework, REFERENCE, findings, losses, figures, seconds=progress.seconds)


if __name__ == "__main__":
    run_command(main)
