"""The Jittor wing on the GPU, in what time is left: golden cases, and the speed of an inference."""

import importlib.util
import shutil
import time

from benchmarks.gpu.parts import SEED, Job
from benchmarks.gpu.report import Report
from benchmarks.models import first_models, tiny_model
from common.errors import UserError
from common.models import load_settings

CASES = ("*_tiny", "roi_align", "*_loss")  # the folders of golden cases
REPETITIONS = 5


def run(job: Job, report: Report) -> None:
    if importlib.util.find_spec("jittor") is None:
        raise UserError('not measured: Jittor is not installed (pip install ".[jittor]")')
    if job.device == "cuda" and shutil.which("nvcc") is None:
        raise UserError("not measured: Jittor needs nvcc to compile for a GPU")
    import jittor_impl  # noqa: F401  before the framework itself
    from jittor_impl import device as devices

    devices.select(job.device)
    with report.attempt("golden cases"):
        _goldens(job, report)
    for name in first_models():
        with report.attempt(f"speed of {name}"):
            _speed(tiny_model(name) if job.small else name, job, report)


def _goldens(job: Job, report: Report) -> None:
    import jittor as jt

    from jittor_impl import ops
    from tests.goldens import golden, runner

    folder = golden.Path(golden.__file__).parent
    cases = [case for name in CASES for case in sorted(folder.glob(name))]
    for case in cases[: 1 if job.small else None]:
        with report.attempt(case.name):
            work = job.folder / case.name
            work.mkdir()
            found = runner.measure(case, "jittor", job.device, ops, jt.zeros((1,)), work)
            for name, distance in found.items():
                report.check(f"{case.name}: {name}", distance.value, distance.tolerance)
            worst = max(found.values(), key=lambda distance: distance.value / distance.tolerance)
            report.add("golden cases in Jittor", case=case.name, worst=str(worst))


def _speed(name: str, job: Job, report: Report) -> None:
    import jittor as jt

    from benchmarks.speed.made_up import make_inputs, make_weights
    from common.data.made_up import IMAGE_SIZE
    from jittor_impl.learner import Learner

    settings = load_settings(name)
    learner = Learner(settings, job.device)
    learner.load_weights(make_weights(learner.shapes(), settings, SEED))
    inputs = make_inputs(settings, 1, SEED)
    times = []
    for _ in range(2 + REPETITIONS):
        jt.sync_all(True)
        began = time.perf_counter()
        learner.predict(inputs)
        jt.sync_all(True)
        times.append(1e3 * (time.perf_counter() - began))
    row = {"first_ms": round(times[0]), "ms": round(sorted(times[2:])[REPETITIONS // 2], 1)}
    report.add("speed in Jittor", model=name, task=f"whole inference of {IMAGE_SIZE}", **row)
