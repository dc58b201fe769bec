"""A family's training on the GPU beside the CPU's: a batch's losses and gradients, 50 steps, weights carried over."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from benchmarks.gpu.parts import Job
from benchmarks.gpu.report import Report
from benchmarks.gpu.timing import allow_tf32
from benchmarks.models import tiny_model
from benchmarks.parity.case import WEIGHTS, Case, make_learner
from benchmarks.parity.prepare import draw_missing_weights, prepare
from common import kernels
from common import weights as weight_files
from common.families import family_named
from common.models import load_settings
from common.training.schedules import learning_rate
from tests.goldens import golden
from torch_impl.learner import Learner

STEPS = 50
BATCH = 4


def run(job: Job, report: Report) -> None:
    allow_tf32(False)
    full = family_named(job.subject).models[-1]
    tiny = tiny_model(full)
    model = tiny if job.small else full
    with report.attempt(f"a batch of {model}"):
        _compare_batch(model, job, report)
    with report.attempt(f"{STEPS} steps of {tiny}"):
        _compare_steps(tiny, 5 if job.small else STEPS, job, report)


def _compare_batch(model: str, job: Job, report: Report) -> None:
    """Compares losses and gradients of two images from equal weights."""
    case = _prepare_case(model, job.folder / "batch", 2, 1)
    batch = next(case.batches(1))
    losses, gradients = make_learner(case, Learner, _folder(case), "cpu").gradients(batch)
    with _kernels_off(job.device == "cpu"):  # so that a trial on the CPU has something to compare
        found, theirs = make_learner(case, Learner, _folder(case), job.device).gradients(batch)
    for term, value in losses.items():
        distance = abs(found[term] - value) / max(1.0, abs(value))
        report.add(f"a batch of {model}, losses", term=term, cpu=_six(value), gpu=_six(found[term]))
        report.check(f"{model}: loss {term}", distance, 1e-3)
    norms = {name: float(np.linalg.norm(each)) for name, each in gradients.items()}
    whole = np.sqrt(sum(norm**2 for norm in norms.values()))
    distances = {name: float(np.linalg.norm(theirs[name] - each)) for name, each in gradients.items()}
    share = np.sqrt(sum(value**2 for value in distances.values())) / whole
    # A gradient that is nearly zero is left out: rounding is all that there is in it.
    parts = {name: value / norms[name] for name, value in distances.items() if norms[name] > 1e-4 * whole}
    worst = max(parts, key=parts.get)
    report.add("gradients", model=model, parameters=len(gradients), of_all=f"{share:.1e}", worst=f"{parts[worst]:.1e}")
    report.note(f"{model}: the gradient that is farthest apart is that of {worst}")
    report.keep(f"{model} gradients", parts)
    report.check(f"{model}: all gradients", share, 1e-2)


def _compare_steps(model: str, steps: int, job: Job, report: Report) -> None:
    """Compares the losses of many steps while norms stand still, and what the trained weights give on both devices."""
    case = _prepare_case(model, job.folder / "steps", BATCH, steps)
    batches = list(case.batches(steps))
    histories = {}
    for device in dict.fromkeys(("cpu", job.device)):
        trained = make_learner(case, Learner, _folder(case), device)
        rates = [learning_rate(case.settings.schedule, step) for step in range(steps)]
        history = [trained.train_step(batch, rate) for batch, rate in zip(batches, rates, strict=True)]
        histories[device] = history
    expected, found = histories["cpu"], histories[job.device]
    distances = [_largest_distance(*sides) for sides in zip(found, expected, strict=True)]
    for step in sorted({0, steps // 2, steps - 1}):
        sums = {side: _six(sum(history[step].values())) for side, history in (("cpu", expected), ("gpu", found))}
        report.add("steps", model=model, step=step + 1, **sums, apart=f"{distances[step]:.1e}")
    report.keep(f"{model} steps", {"cpu": expected, "gpu": found})
    report.check(f"{model}: the losses of {steps} steps", np.max(distances), 1e-3)
    _check_carried_weights(case, trained, report)


def _check_carried_weights(case: Case, trained: Learner, report: Report) -> None:
    """Checks that weights written where they were trained and read on the CPU give the same stages there."""
    path = _folder(case) / "trained.safetensors"
    _, card = weight_files.load(_folder(case) / WEIGHTS)
    weight_files.save(path, trained.weights(), card)
    read = Learner(case.settings, "cpu")
    read.load_weights(weight_files.load(path)[0])
    inputs = case.inputs()
    expected = read.trace(inputs)
    found = trained.trace(inputs)
    floating = {name: value for name, value in expected.items() if value.dtype.kind == "f"}
    distances = {name: golden.distance(found[name], value) for name, value in floating.items()}
    worst = max(distances, key=distances.get)
    model = case.settings.model
    told = f"{distances[worst]:.1e} ({worst})"
    report.add("trained weights read on the CPU", model=model, stages=len(distances), worst=told)
    report.check(f"{model}: trained weights read on the CPU", distances[worst], 1e-3)


def _largest_distance(losses: dict[str, float], expected: dict[str, float]) -> float:
    """The largest distance of a step's terms, relative to the larger of 1 and the term; NaN where one is not finite."""
    terms = expected.keys() | losses.keys()  # a step whose gradient is not finite tells of that as a term more
    pairs = [(losses.get(term, math.nan), expected.get(term, math.nan)) for term in terms]
    return float(np.max([abs(mine - theirs) / max(1.0, abs(theirs)) for mine, theirs in pairs]))


def _prepare_case(model: str, folder: Path, batch_size: int, steps: int) -> Case:
    """A case whose norms stand still, so that rounding stays small in so many steps.

    Trained on few images from drawn weights, norms multiply what rounding leaves: in a gradient by hundreds, and in the
    losses of many steps without a bound.
    """
    settings = load_settings(model)
    if not settings.network.freezes_norm(batch_size):
        settings = load_settings(model, ["network.frozen_norm=true"])
    case = prepare(folder, settings, batch_size, None, steps)
    draw_missing_weights(case, Learner, folder)
    return case


def _folder(case: Case) -> Path:
    return case.data.parent


@contextmanager
def _kernels_off(wanted: bool) -> Iterator[None]:
    """Switches the CPU's compiled kernels off within the block, where that is wanted."""
    library = kernels.library
    if wanted:
        kernels.library = lambda: None
    try:
        yield
    finally:
        kernels.library = library


def _six(value: float) -> str:
    return f"{value:.6g}"
