"""A family's training on the GPU beside the CPU's: a batch's losses and gradients, 50 steps, weights carried over."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np

from benchmarks.gpu.parts import TRAINED, Job, tiny
from benchmarks.gpu.report import Report
from benchmarks.gpu.timing import allow_tf32
from benchmarks.parity.case import WEIGHTS, Case, learner
from benchmarks.parity.prepare import draw_missing_weights, prepare
from common import kernels
from common import weights as weight_files
from common.models import load_settings
from common.training.schedules import learning_rate
from tests.goldens import golden
from torch_impl.learner import Learner

STEPS = 50
BATCH = 4
# Norms stand still, YOLACT's because a batch is small: trained on few images from drawn weights they multiply what
# rounding leaves, in a gradient by hundreds and in the losses of many steps without a bound.
STILL = {"yolact": [], "mask_rcnn": ["network.frozen_norm=true"], "pose2seg": ["network.frozen_norm=true"]}
# Of the steps, from the first on: low enough for rounding to stay small in so many. A two-stage model chooses what it
# trains on by its own numbers, and one choice that rounding turns is a loss that is another.
RATES = {"yolact": 5e-5, "mask_rcnn": 1e-5, "pose2seg": 1e-4}


def run(job: Job, report: Report) -> None:
    allow_tf32(False)
    model = tiny(job.subject) if job.small else TRAINED[job.subject]
    with report.attempt(f"a batch of {model}"):
        _one_batch(model, job, report)
    with report.attempt(f"{STEPS} steps of {tiny(job.subject)}"):
        _steps(tiny(job.subject), 5 if job.small else STEPS, job, report)


def _one_batch(model: str, job: Job, report: Report) -> None:
    """Losses and gradients of two images from equal weights."""
    case = _case(model, job.folder / "batch", 2, 1)
    batch = next(case.batches())
    losses, gradients = learner(case, Learner, _folder(case), "cpu").gradients(batch)
    with _kernels_off(job.device == "cpu"):  # so that a trial on the CPU has something to compare
        found, theirs = learner(case, Learner, _folder(case), job.device).gradients(batch)
    for term, value in losses.items():
        apart = abs(found[term] - value) / max(1.0, abs(value))
        report.add(f"a batch of {model}, losses", term=term, cpu=_six(value), gpu=_six(found[term]))
        report.check(f"{model}: loss {term}", apart, 1e-3)
    norms = {name: float(np.linalg.norm(each)) for name, each in gradients.items()}
    whole = np.sqrt(sum(norm**2 for norm in norms.values()))
    apart = {name: float(np.linalg.norm(theirs[name] - each)) for name, each in gradients.items()}
    share = np.sqrt(sum(value**2 for value in apart.values())) / whole
    # Of gradients that matter: rounding is all that there is in one that is nearly zero.
    parts = {name: value / norms[name] for name, value in apart.items() if norms[name] > 1e-4 * whole}
    worst = max(parts, key=parts.get)
    report.add("gradients", model=model, parameters=len(gradients), of_all=f"{share:.1e}", worst=f"{parts[worst]:.1e}")
    report.note(f"{model}: the gradient that is farthest apart is that of {worst}")
    report.keep(f"{model} gradients", parts)
    report.check(f"{model}: all gradients", share, 1e-2)


def _steps(model: str, steps: int, job: Job, report: Report) -> None:
    """The losses of many steps while norms stand still, and what the trained weights answer on both devices."""
    case = _case(model, job.folder / "steps", BATCH, steps)
    batches = list(islice(case.batches(), steps))
    histories = {}
    for device in dict.fromkeys(("cpu", job.device)):
        trained = learner(case, Learner, _folder(case), device)
        rates = [learning_rate(case.settings.schedule, step) for step in range(steps)]
        history = [trained.train_step(batch, rate) for batch, rate in zip(batches, rates, strict=True)]
        histories[device] = history
    expected, found = histories["cpu"], histories[job.device]
    apart = [_farthest(*sides) for sides in zip(found, expected, strict=True)]
    for step in sorted({0, steps // 2, steps - 1}):
        sums = {side: _six(sum(history[step].values())) for side, history in (("cpu", expected), ("gpu", found))}
        report.add("steps", model=model, step=step + 1, **sums, apart=f"{apart[step]:.1e}")
    report.keep(f"{model} steps", {"cpu": expected, "gpu": found})
    report.check(f"{model}: the losses of {steps} steps", np.max(apart), 1e-3)
    _carried_over(case, trained, report)


def _carried_over(case: Case, trained: Learner, report: Report) -> None:
    """Weights written where they were trained and read on the CPU give the same stages there."""
    path = _folder(case) / "trained.safetensors"
    _, card = weight_files.load(_folder(case) / WEIGHTS)
    weight_files.save(path, trained.weights(), card)
    read = Learner(case.settings, "cpu")
    read.load_weights(weight_files.load(path)[0])
    inputs = case.inputs()
    expected = read.trace(inputs)
    found = trained.trace(inputs)
    apart = {name: golden.distance(found[name], value) for name, value in expected.items() if value.dtype.kind == "f"}
    worst = max(apart, key=apart.get)
    model = case.settings.model
    report.add("trained weights read on the CPU", model=model, stages=len(apart), worst=f"{apart[worst]:.1e} ({worst})")
    report.check(f"{model}: trained weights read on the CPU", apart[worst], 1e-3)


def _farthest(losses: dict[str, float], expected: dict[str, float]) -> float:
    """How far apart the terms of a step are, relative to the larger of 1 and the term; NaN where one is not finite."""
    terms = expected.keys() | losses.keys()  # a step whose gradient is not finite tells of that as a term more
    pairs = [(losses.get(term, math.nan), expected.get(term, math.nan)) for term in terms]
    return float(np.max([abs(mine - theirs) / max(1.0, abs(theirs)) for mine, theirs in pairs]))


def _case(model: str, folder: Path, batch_size: int, steps: int) -> Case:
    family = load_settings(model).family
    case = prepare(folder, load_settings(model, STILL[family]), batch_size, None, steps)
    schedule = case.settings.schedule.model_copy(update={"learning_rate": RATES[family], "warmup_iterations": 0})
    case = replace(case, settings=case.settings.model_copy(update={"schedule": schedule}))
    draw_missing_weights(case, Learner, folder)
    return case


def _folder(case: Case) -> Path:
    return case.data.parent


@contextmanager
def _kernels_off(wanted: bool) -> Iterator[None]:
    """Within it the CPU's compiled kernels are switched off, where that is wanted."""
    library = kernels.library
    if wanted:
        kernels.library = lambda: None
    try:
        yield
    finally:
        kernels.library = library


def _six(value: float) -> str:
    return f"{value:.6g}"
