"""The models' speed in each framework, as ratios to PyTorch's: detection, training step, assembly of the masks.

Each framework has a process of its own, which stays, and they are measured in turn, one repetition each while the
others wait: what slows the machine down slows them all. A ratio is the median over the rounds of the time to that of
the first framework in the same round. Where others use the machine too, the ratios of the processors' time (`cpu`)
are the steadier ones, and milliseconds, the first framework's median, say little. Weights, image and batch are made
up, and the same for all; the scores are set so that about a hundred objects are detected.
"""

import argparse
import importlib
import json
import multiprocessing
import resource
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.families import refuse_unwritten
from benchmarks.ops import FRAMEWORKS, first_array
from common import yolact
from common.commands.wing import at_least, learner_class
from common.config import Settings, load_settings
from common.data import yolact_samples
from common.errors import UserError, run_command
from common.files import atomic_path
from common.training.initial_weights import initial_weights

MODELS = ("yolact_resnet50", "yolact_plus_resnet50")
IMAGE_SIZE = (480, 640)
TRAINING_BATCH = 2
OBJECTS = 7  # in a training image, as many as in one of COCO's
COUNTS = (1, 10, 100)  # of masks
# What makes of initial weights scores that leave some thousand candidates for NMS at 550 pixels.
SHARPNESS, BACKGROUND = 20.0, 10.0
# A repetition of something short is several calls.
SHORTEST_REPETITION = 0.2

DETECTION = "forward and detection, batch 1"
TRAINING = f"training step, batch {TRAINING_BATCH}"


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.speed",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="examples:\n  python -m benchmarks.speed\n  python -m benchmarks.speed yolact_base --output speed",
    )
    parser.add_argument("models", nargs="*", metavar="MODEL", help=f"default: {' '.join(MODELS)}")
    parser.add_argument("--frameworks", default=",".join(FRAMEWORKS), help="default: %(default)s")
    parser.add_argument("--repetitions", type=at_least(1), default=7, help="default: %(default)s")
    parser.add_argument("--warmup", type=at_least(0), default=2, help="repetitions before (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, help="folder for the figures, as speed.json")
    arguments = parser.parse_args()
    frameworks = arguments.frameworks.split(",")
    unknown = [name for name in frameworks if name not in FRAMEWORKS]
    if unknown:
        raise UserError(f"framework {unknown[0]!r} is unknown; there are {', '.join(FRAMEWORKS)}")
    models = {name: load_settings(name) for name in arguments.models or MODELS}
    for settings in models.values():
        refuse_unwritten(settings, "prediction")
    found = {}
    for name, settings in models.items():
        found[name] = measure(settings, frameworks, arguments.repetitions, arguments.warmup, arguments.seed)
        print(f"{name}, {settings.preprocessing.size} pixels\n{table(found[name])}\n", flush=True)
    if arguments.output:
        with atomic_path(arguments.output / "speed.json") as path:
            path.write_text(json.dumps(found, indent=1))


@dataclass
class Work:
    """What every framework gets to do, in NumPy."""

    settings: Settings
    seed: int
    inputs: dict[str, np.ndarray]  # of one image
    batch: dict[str, np.ndarray]
    prototypes: np.ndarray  # (h, w, K)
    detections: yolact.Detections


def measure(settings: Settings, frameworks: list[str], repetitions: int, warmup: int, seed: int) -> dict[str, Any]:
    """framework -> its `seconds` and `cpu_seconds` by task, one a repetition, `peak_mib`, `detections`; or `error`."""
    work = make_work(settings, seed)
    workers = {framework: _Worker(framework, work) for framework in frameworks}
    try:
        # One after the other: they compile, and each with all cores.
        found = {framework: worker.start() for framework, worker in workers.items()}
        running = [framework for framework in frameworks if "error" not in found[framework]]
        for round_ in range(warmup + repetitions):
            for task in tasks():
                for framework in running:
                    for quantity, value in workers[framework].ask(task).items():
                        if round_ >= warmup:
                            found[framework].setdefault(quantity, {}).setdefault(task, []).append(value)
            _report(f"round {round_ + 1} of {warmup + repetitions}")
        for framework in running:
            found[framework]["peak_mib"] = workers[framework].ask("peak_mib")
    finally:
        for worker in workers.values():
            worker.stop()
    return found


def tasks() -> list[str]:
    """What is measured, in its order."""
    return [DETECTION, TRAINING, *(f"assembly of masks, {count}" for count in COUNTS)]


def table(found: dict[str, dict[str, Any]]) -> str:
    """A line a task: the first framework's milliseconds, and the ratios of each framework to it."""
    running = [framework for framework in found if "error" not in found[framework]]
    lines = [f"not run: {framework}: {found[framework]['error']}" for framework in found if framework not in running]
    if not running:
        return "\n".join(lines)
    first = running[0]
    heads = "".join(f"{name:>11}{'cpu':>6}" for name in running)
    lines.append(f"{'':<32}{first + ' ms':>13}{heads}")
    for task in tasks():
        milliseconds = statistics.median(found[first]["seconds"][task]) * 1e3
        ratios = ""
        for name in running:
            wall, cpu = (_ratio(found, name, first, quantity, task) for quantity in ("seconds", "cpu_seconds"))
            ratios += f"{wall:>11.2f}{cpu:>6.2f}"
        lines.append(f"{task:<32}{milliseconds:>13.1f}{ratios}")
    for title, key in (("peak memory, MiB", "peak_mib"), ("detections", "detections")):
        lines.append(f"{title:<45}" + "".join(f"{found[name][key]:>11.0f}{'':>6}" for name in running).rstrip())
    return "\n".join(lines)


def _ratio(found: dict[str, dict[str, Any]], name: str, first: str, quantity: str, task: str) -> float:
    pairs = zip(found[name][quantity][task], found[first][quantity][task], strict=True)
    return statistics.median(mine / its for mine, its in pairs)


def make_work(settings: Settings, seed: int) -> Work:
    rng = np.random.default_rng(seed)
    inputs = yolact_samples.join([yolact_samples.prepare(_picture(rng), settings)], settings)
    samples = [_training_sample(settings, rng) for _ in range(TRAINING_BATCH)]
    grid, channels = yolact.Geometry.of(settings).prototypes, settings.network.prototypes
    prototypes = np.maximum(rng.standard_normal((*grid, channels), np.float32), 0)
    count = max(COUNTS)
    detections = yolact.Detections(
        _boxes(rng, count),
        np.linspace(1, 0.1, count, dtype=np.float32),
        rng.integers(0, settings.num_classes, count),
        rng.uniform(-1, 1, (count, channels)).astype(np.float32),
    )
    return Work(settings, seed, inputs, yolact.collate(samples), prototypes, detections)


def weights(shapes: dict[str, tuple[int, ...]], settings: Settings, seed: int) -> dict[str, np.ndarray]:
    """Initial weights whose scores are neither all equal nor all 0 or 1."""
    made = initial_weights(shapes, settings, seed)
    for name in made:
        # Norms that stand still from the start let each residual block double the variance.
        if name.endswith(("bn3.weight", "conv2.norm.weight")):
            made[name] = made[name] * np.float32(0.2)
    background = made["head.classes.bias"].reshape(-1, settings.num_classes + 1)
    background[:, 0] = BACKGROUND
    made["head.classes.weight"] = made["head.classes.weight"] * np.float32(SHARPNESS)
    return made


def _picture(rng: np.random.Generator) -> np.ndarray:
    """(H, W, 3) uint8: soft blobs."""
    coarse = rng.integers(0, 256, (12, 16, 3)).astype(np.uint8)
    return cv2.resize(coarse, IMAGE_SIZE[::-1], interpolation=cv2.INTER_CUBIC)


def _training_sample(settings: Settings, rng: np.random.Generator) -> dict[str, np.ndarray]:
    size = settings.preprocessing.size
    boxes = _boxes(rng, OBJECTS)
    masks = np.zeros((OBJECTS, size, size), np.uint8)
    for mask, box in zip(masks, boxes * size, strict=True):
        centre, axes = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2
        cv2.ellipse(mask, centre.astype(int).tolist(), axes.astype(int).tolist(), 0, 0, 360, 1, -1)
    labels, crowd = rng.integers(0, settings.num_classes, OBJECTS), np.zeros(OBJECTS, bool)
    targets = yolact.targets(boxes, labels, crowd, masks, settings, rng)
    return {"image": yolact_samples.prepare(_picture(rng), settings)["image"], "image_id": np.int64(1), **targets}


def _boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    """(count, 4) xyxy relative to the image."""
    corner = rng.uniform(0, 0.6, (count, 2))
    return np.concatenate([corner, corner + rng.uniform(0.05, 0.4, (count, 2))], axis=1).astype(np.float32)


class _Worker:
    """A framework's process, seen from outside: it does one task when it is asked, and answers with the time."""

    def __init__(self, framework: str, work: Work):
        self.framework = framework
        self._work = work
        self._process = None

    def start(self) -> dict[str, Any]:
        """Waits until it has done everything once."""
        _report(f"{self.framework} starts and compiles")
        context = multiprocessing.get_context("spawn")
        self._connection, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(other, self.framework, self._work), daemon=True)
        self._process.start()
        other.close()
        return self._answer()

    def ask(self, task: str) -> Any:
        self._connection.send(task)
        return self._answer()

    def stop(self) -> None:
        if self._process is not None:
            self._connection.close()
            self._process.join(5)
            self._process.kill()

    def _answer(self) -> Any:
        try:
            return self._connection.recv()
        except EOFError:
            self._process.join()
            raise UserError(f"{self.framework}'s process ended with code {self._process.exitcode}") from None


def _serve(connection: Connection, framework: str, work: Work) -> None:
    """The worker's side; it ends when the other does."""
    try:
        calls = _calls(framework, work)
    except UserError as error:
        connection.send({"error": str(error)})
        return
    detections = len(calls[DETECTION]()[0].scores)
    for task in tasks():
        calls[task]()
    connection.send({"detections": detections})
    try:
        while True:
            task = connection.recv()
            connection.send(_peak_mib() if task == "peak_mib" else _seconds(calls[task]))
    except (EOFError, KeyboardInterrupt):
        return


def _calls(framework: str, work: Work) -> dict[str, Callable[[], Any]]:
    """By task what the framework does in a repetition."""
    settings = work.settings
    learner_type = learner_class(framework)
    learner = learner_type(settings, "cpu")
    made = weights(learner.shapes(), settings, work.seed)
    learner.load_weights(made)
    schedule = settings.schedule.model_copy(update={"batch_size": TRAINING_BATCH})
    trained = learner_type(settings.model_copy(update={"schedule": schedule}), "cpu", training=True)
    trained.load_weights(made)
    xp = importlib.import_module(f"{framework}_impl.ops")
    prototypes = xp.asarray(work.prototypes, first_array(framework))

    def masks(count: int) -> Any:
        best = yolact.Detections(**{name: part[:count] for name, part in vars(work.detections).items()})
        return yolact.postprocess(best, prototypes, IMAGE_SIZE)

    calls = {
        DETECTION: lambda: learner.predict(work.inputs),
        # With rate 0 the weights stay what they are, at the same cost.
        TRAINING: lambda: trained.train_step(work.batch, 0.0),
    }
    return calls | {f"assembly of masks, {count}": lambda count=count: masks(count) for count in COUNTS}


def _seconds(call: Callable[[], Any]) -> dict[str, float]:
    """Of a call, on average over a repetition."""
    calls, began, cpu_began = 0, time.perf_counter(), time.process_time()
    while calls == 0 or time.perf_counter() - began < SHORTEST_REPETITION:
        call()
        calls += 1
    seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - cpu_began
    return {"seconds": seconds / calls, "cpu_seconds": cpu_seconds / calls}


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _report(text: str) -> None:
    print(f"{text} ...", file=sys.stderr, flush=True)


if __name__ == "__main__":
    run_command(main)
