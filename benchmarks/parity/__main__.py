"""`python -m benchmarks.parity`: says where three implementations of a model part ways.

Of a model here each framework runs in a process of its own on the same weights and inputs and passes five gates: every
layer's forward, every term of the loss, every gradient, twenty optimizer steps, and the results. PyTorch is the
reference; its own error in float32, measured against float64 and in perturbed runs, is what the others are allowed a
multiple of. With --reference and --against two dumps are compared that were made anywhere: no framework is needed.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.foreign.command import run_foreign
from benchmarks.foreign.dump import FACTS, OLD
from benchmarks.foreign.weights import run_weights
from benchmarks.frameworks import FRAMEWORKS, chosen_frameworks
from benchmarks.models import default_models
from benchmarks.parity import progress
from benchmarks.parity.case import WEIGHTS, Case
from benchmarks.parity.finding import GATES, TITLES, Difference, Finding, Run, Tolerance
from benchmarks.parity.majority import Departures, departures_folder, find_contradictions
from benchmarks.parity.page import Heading, check_packages, sha256_of, versions_of, write_page
from benchmarks.parity.prepare import prepare
from benchmarks.parity.report import write_json
from benchmarks.parity.summary import passed
from benchmarks.parity.table import table
from benchmarks.parity.tolerances import MOST
from benchmarks.parity.worker import REFERENCE
from common import weights as weight_files
from common.errors import UserError, run_command
from common.frameworks import MissingFramework
from common.models import load_settings
from weights_convert import open_weights

EXAMPLES = """
examples:
  python -m benchmarks.parity yolact_tiny --batch-size 8
  python -m benchmarks.parity yolact_resnet50 --weights yolact_resnet50_54_800000.pth --output parity
  python -m benchmarks.parity yolact_resnet50 --frameworks torch,jittor --gates 1
  python -m benchmarks.parity yolact_resnet50 --weights w.safetensors --against my_port --output parity
  python -m benchmarks.parity --reference their_dump --against my_port --output parity
  python -m benchmarks.parity --weights original.pth mine.ckpt
"""


def main() -> None:
    arguments = _arguments()
    if arguments.compared:
        sys.exit(run_weights(*arguments.compared, arguments.output))
    if arguments.reference:
        sys.exit(_run_foreign(arguments.reference, arguments))
    if arguments.output:
        check_packages()
    codes = [_compare_model(model, arguments) for model in arguments.models or default_models()]
    sys.exit(max(codes))


def _run_foreign(reference: Path, arguments: argparse.Namespace, output: Path | None = None) -> int:
    """Holds a dump made elsewhere against a reference's -> the exit code."""
    gates = arguments.gates or tuple(TITLES)
    return run_foreign(reference, arguments.against, output or arguments.output, arguments.tolerance, gates)


def _compare_model(model: str, arguments: argparse.Namespace) -> int:
    settings = load_settings(model)
    with tempfile.TemporaryDirectory(prefix="parity-") as temporary:
        folder = Path(temporary)
        if arguments.weights:
            weights, card = open_weights(arguments.weights, settings)
            settings = weight_files.with_card(settings, card, str(arguments.weights))
            weight_files.save(folder / WEIGHTS, weights, card)
        print(f"{settings.model}: preparing the data", file=sys.stderr, flush=True)
        gates = [1] if arguments.against else arguments.gates or list(GATES)
        case = prepare(folder, settings, arguments.batch_size, arguments.data, seed=arguments.seed, gates=gates)
        output = arguments.output and arguments.output / settings.model
        if arguments.against:
            return _run_against_port(folder, arguments, output)
        _run_worker("draw", REFERENCE, folder, [])
        case = _with_affordable_steps(case, folder, arguments)
        _plan(case, folder, gates, arguments)
        runs = [_run_in_process("record", REFERENCE, folder, gates)]
        if runs[0].not_run:
            raise UserError(f"there is no reference without PyTorch: {runs[0].not_run}")
        for framework in arguments.frameworks:
            if framework != REFERENCE:
                runs.append(_run_in_process("compare", framework, folder, gates))
        runs[0].contradictions = find_contradictions(folder, runs[1:])
        print(table(runs))
        if output:
            write_json(output / "parity.json", runs)
            _write_page(output / "parity.html", runs, case, folder, arguments)
        return 0 if passed(runs) else 1


def _write_page(path: Path, runs: list[Run], case: Case, folder: Path, arguments: argparse.Namespace) -> None:
    """Writes the page of a comparison, with pictures of what the frameworks kept in the case's folder."""
    weights = arguments.weights
    heading = Heading(
        title=case.settings.model,
        weights=weights.name if weights else "drawn",
        weights_sha256=sha256_of(weights or folder / WEIGHTS),
        data=f"images of {arguments.data}" if arguments.data else "made-up images",
        batch_size=arguments.batch_size,
        seed=arguments.seed,
        versions=versions_of(run.framework for run in runs),
    )
    ran = [run.framework for run in runs[1:] if not run.not_run]
    departures = {framework: Departures(departures_folder(folder, framework)) for framework in ran}
    write_page(path, runs, heading, departures)


def _plan(case: Case, folder: Path, gates: list[int], arguments: argparse.Namespace) -> None:
    """Says what will be done, and leaves it in the folder for those who do it."""
    parts = progress.parts_of("record", REFERENCE, case, gates)
    for framework in arguments.frameworks:
        if framework != REFERENCE:
            parts += progress.parts_of("compare", framework, case, gates)
    progress.save(folder, parts)
    weights = f"the weights of {arguments.weights}" if arguments.weights else "drawn weights"
    data = f"images of {arguments.data}" if arguments.data else "made-up images"
    material = f"{weights}, {data}, batches of {arguments.batch_size}"
    print(progress.describe(case.settings.model, parts, gates, material), file=sys.stderr, flush=True)


def _with_affordable_steps(case: Case, folder: Path, arguments: argparse.Namespace) -> Case:
    """The case with the asked number of steps, or as many as there is room for."""
    steps = arguments.steps or case.affordable_steps(folder)
    case = replace(case, steps=steps)
    case.save(folder)
    return case


def _run_in_process(task: str, framework: str, folder: Path, gates: list[int]) -> Run:
    """Runs a framework's part in a process of its own."""
    run = Run(framework, REFERENCE)
    try:
        answer = _run_worker(task, framework, folder, gates)
    except MissingFramework as error:
        run.not_run = str(error)
        return run
    run.findings = [_read_finding(**values) for values in answer["findings"]]
    run.losses = answer["losses"]
    run.sensitivity = {int(gate): tuple(figures) for gate, figures in answer["sensitivity"].items()}
    run.seconds, run.peak_mib = answer["seconds"], answer["peak_mib"]
    return run


def _run_worker(task: str, framework: str, folder: Path, gates: list[int]) -> dict:
    """Runs the worker and reads its answer; its output goes to the terminal."""
    command = [sys.executable, "-m", "benchmarks.parity.worker", task, framework, str(folder), "--gates"]
    done = subprocess.run([*command, *map(str, gates)], stdout=sys.stderr, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1].removeprefix("error: ")
        if done.returncode == 2:
            raise (MissingFramework if "is not installed" in last else UserError)(last)
        sys.stderr.write(done.stderr)
        raise UserError(f"{framework}: the comparison ended with code {done.returncode}: {last}")
    return json.loads((folder / f"{task}_{framework}.json").read_text())


def _read_finding(difference: dict | None, tolerance: dict | None, **values: Any) -> Finding:
    """A finding of its values as JSON has them."""
    return Finding(
        difference=difference and Difference(**difference), tolerance=tolerance and Tolerance(**tolerance), **values
    )


def _run_against_port(folder: Path, arguments: argparse.Namespace, output: Path) -> int:
    """Holds a user's own port of the model against the reference -> the exit code.

    The reference stays in `output`: the port is given its inputs.
    """
    _run_worker("dump", REFERENCE, folder, [])
    output.mkdir(parents=True, exist_ok=True)
    for name in (WEIGHTS, weight_files.card_path(WEIGHTS).name):
        shutil.copyfile(folder / name, output / name)
    shutil.copytree(folder / "reference", output / "reference", dirs_exist_ok=True)
    if not any((arguments.against / name).is_file() for name in (FACTS, OLD)):
        raise UserError(
            f"{arguments.against} has no dump: give your port {output / 'reference/inputs.npz'} and "
            f"{output / WEIGHTS}, and write what its layers make of them (docs/porting.md)"
        )
    return _run_foreign(output / "reference", arguments, output)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.parity",
        description=__doc__.partition("\n\n")[2],
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=EXAMPLES.strip(),
    )
    add = parser.add_argument
    add("models", nargs="*", metavar="MODEL", help=f"default: {' '.join(default_models())}")
    add(
        "--weights",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE",
        help="of any known format; otherwise they are drawn. Two files without a MODEL are held against each other",
    )
    add(
        "--frameworks",
        type=chosen_frameworks,
        default=FRAMEWORKS,
        metavar="A,B",
        help="default: torch,jittor,mindspore",
    )
    add("--output", type=Path, metavar="DIR", help="write parity.json and parity.html into DIR/MODEL")
    add("--data", type=Path, metavar="ROOT", help="a data set in COCO's format, of which the first images are taken")
    add("--batch-size", type=int, default=2, metavar="N", help="of the training gates; from 6 on the norms train too")
    add("--gates", type=int, nargs="+", choices=list(TITLES), help="default: all; gate 0 is that of two dumps alone")
    add("--steps", type=int, metavar="N", help="of gate 4; default: 20, or 3 of a model of over 64 MiB")
    add("--seed", type=int, default=0, metavar="N", help="of the drawn weights and the order of the data")
    add("--against", type=Path, metavar="FOLDER", help="hold a dump made elsewhere against the model or --reference")
    add("--reference", type=Path, metavar="FOLDER", help="with --against: the dump of any other network")
    add("--tolerance", type=float, metavar="T", help="with --against: allowed in any case, relative to the reference")
    arguments = parser.parse_args()
    _sort_weights(arguments)
    if arguments.reference and not arguments.against:
        raise UserError("--reference is one of two dumps: give the other with --against")
    if arguments.tolerance is not None and not (arguments.against and 0 < arguments.tolerance <= MOST):
        raise UserError(f"--tolerance {arguments.tolerance:g}: above 0 and at most {MOST:g}, and only with --against")
    if 0 in (arguments.gates or ()) and not arguments.against:
        raise UserError("--gates 0: the preparation of an image is judged of two dumps, with --reference and --against")
    if arguments.against and not arguments.reference and not (len(arguments.models) == 1 and arguments.output):
        raise UserError("--against needs one MODEL and --output, where its reference is laid, or --reference")
    if arguments.weights and len(arguments.models) != 1:
        raise UserError("--weights are those of one MODEL: name it, or give two files to hold against each other")
    if arguments.steps is not None and arguments.steps < 1:
        raise UserError(f"--steps {arguments.steps}: at least one step")
    if arguments.batch_size < 1:
        raise UserError(f"--batch-size {arguments.batch_size}: at least one image")
    return arguments


def _sort_weights(arguments: argparse.Namespace) -> None:
    """Sets `weights` to the one file of a model's weights, and `compared` to two that are held against each other.

    A MODEL may stand behind the file.
    """
    files = list(arguments.weights)
    while len(files) > 1 and not arguments.models and _is_model(files[-1]):
        arguments.models.append(str(files.pop()))
    arguments.weights, arguments.compared = (files[0] if len(files) == 1 else None), tuple(files[:2])
    if len(files) < 2:
        arguments.compared = None
        return
    if len(files) > 2 or arguments.models:
        given = " ".join(map(str, [*arguments.models, *files]))
        raise UserError(f"--weights takes one file of a MODEL, or two files and no MODEL: not {given}")
    if arguments.against or arguments.reference or arguments.data:
        raise UserError("--weights A B compares two files alone: not with --against, --reference or --data")


def _is_model(word: Path) -> bool:
    """Whether a word names a variant, or the file of one."""
    if word.is_file():
        return word.suffix in (".yaml", ".yml")
    try:
        load_settings(str(word))
    except UserError:
        return False
    return True


if __name__ == "__main__":
    run_command(main)
