"""What a comparison says of its course, and that nothing is computed for gates that are not asked for."""

import io
from types import SimpleNamespace

import numpy as np

from benchmarks.parity import prepare
from benchmarks.parity.case import Case
from benchmarks.parity.progress import Part, Progress, describe, parts_of, save, seconds_left, seconds_to_the_end
from common.models import load_settings


class Clock:
    """A clock that stands still but where it is moved."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


class Learner:
    """A learner without a network, each of whose calls takes some seconds; `called` has their names."""

    def __init__(self, clock=None, seconds=0.0):
        self._clock, self._seconds, self.called = clock or Clock(), seconds, []

    def gradients(self, batch, choose):
        self._call("gradients")
        return {"B": 1.0}, {"weight": np.ones(2)}

    def train_step(self, batch, rate, choose):
        self._call("train_step")
        return {"B": 1.0}

    def trace(self, inputs):
        self._call("trace")
        return {}

    def _call(self, name):
        self._clock.now += self._seconds
        self.called.append(name)


def case(steps=20, images=8):
    """A case with batches and without images."""
    return SimpleNamespace(
        settings=load_settings("yolact_tiny", ["schedule.batch_size=4"]),
        steps=steps,
        validation=lambda: SimpleNamespace(positions_with_annotations=lambda: np.arange(images)),
    )


def names(task, gates):
    return [str(part) for part in parts_of(task, "torch", case(), gates)]


def test_the_parts_are_those_of_the_asked_gates():
    assert names("record", [1]) == ["forward", "layers", "layers in float64"]
    gradients = ["gradients", "gradients perturbed"]
    assert names("record", [2]) == ["forward", *(f"{name} (losses and gradients)" for name in gradients)]
    assert names("record", [4]) == ["forward", "steps (20 steps)", "steps perturbed (40 steps)"]
    assert names("record", [5]) == ["forward", "results (8 images)", "results perturbed (8 images)"]
    assert names("compare", [4]) == ["forward", "steps (39 steps)"]
    layers = ["layers accumulated", "layers injected", "layers as used", "layers with faults"]
    assert names("compare", [1, 5]) == ["forward", *layers, "results (8 images)"]
    assert names("compare", [3, 4])[1:] == ["steps (39 steps)"]  # whose first is the look of gates 2 and 3


def test_a_plan_names_frameworks_gates_and_parts_in_order():
    parts = parts_of("record", "torch", case(), [2, 4]) + parts_of("compare", "jittor", case(), [2, 4])
    assert describe("yolact_tiny", parts, [4, 2], "drawn weights, batches of 4").splitlines() == [
        "yolact_tiny: drawn weights, batches of 4",
        "  gates: 2 losses, 4 optimizer steps",
        "  1. torch, the reference: forward, steps (20 steps), steps perturbed (40 steps)",
        "  2. jittor, compared with it: forward, steps (39 steps)",
    ]


def test_an_estimate_comes_from_the_most_alike_part_that_was_timed():
    forward = Part("torch", "forward", {"trace": 1}, 1.0)
    steps = Part("torch", "training", {"train_step": 20}, 10.0)
    exact = Part("torch", "training in float64", {"train_step": 20}, 25.0)
    others = Part("jittor", "training", {"train_step": 20}, 10.0)
    parts = [forward, steps, exact]
    assert seconds_left(parts, steps) is None
    assert seconds_to_the_end(parts, forward) is None
    forward.done, forward.seconds, forward.is_finished = 1, 0.5, True
    assert seconds_left(parts, steps) == 20 * 10 * 0.5
    steps.done, steps.seconds = 5, 10.0
    assert seconds_left(parts, steps) == 15 * 2.0
    assert seconds_left(parts, exact) == 20 * 2.0 * 2.5
    assert seconds_to_the_end(parts, steps) == 30.0 + 100.0
    exact.done, exact.seconds = 1, 4.0
    assert seconds_to_the_end(parts, exact) == 19 * 4.0  # what comes before is over or was left out
    assert seconds_left([*parts, others], others) == 20 * 2.0  # from the part that is as exact


def test_without_a_terminal_it_prints_plain_lines_every_few_seconds():
    clock, stream = Clock(), io.StringIO()
    parts = [
        Part("torch", "forward", {"trace": 1}, 1.0),
        Part("torch", "training", {"gradients": 1, "train_step": 5}, 2.0),
        Part("jittor", "training", {"gradients": 1, "train_step": 5}, 2.0),
    ]
    progress = Progress("torch", parts, stream=stream, clock=clock)
    learner = progress.counted(Learner(clock, 4.0))
    assert progress.time("forward", lambda: learner.trace({})) == {}

    def train():
        learner.gradients({}, choose=None)
        for _ in range(5):
            learner.train_step({}, 0.1, choose=None)

    progress.time("training", train)
    assert stream.getvalue().splitlines() == [
        "torch: forward",
        "torch: training (losses and gradients, 5 steps), about 00:48 left, 01:36 for the whole",
        "torch: training, step 2 of 5, about 00:12 left, 00:36 for the whole",
    ]
    assert "\r" not in stream.getvalue()
    assert progress.seconds == {"forward": 4.0, "training": 24.0}


def test_on_a_terminal_it_shows_bars():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    stream = Terminal()
    progress = Progress("torch", [Part("torch", "training", {"train_step": 1}, 1.0)], stream=stream)
    learner = progress.counted(Learner())
    progress.time("training", lambda: learner.train_step({}, 0.1, choose=None))
    assert "torch: training: 100%" in stream.getvalue()
    assert "step 1 of 1" in stream.getvalue()


def test_the_next_process_knows_the_times_and_begins_its_own_parts_anew(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(Case, "load", staticmethod(lambda folder: case(steps=2)))
    parts = parts_of("record", "torch", case(2), [4]) + parts_of("compare", "jittor", case(2), [4])
    save(tmp_path, parts)
    for task, framework in (("record", "torch"), ("compare", "jittor"), ("compare", "jittor")):
        progress = Progress.open(tmp_path, task, framework, [4])
        learner = progress.counted(Learner())
        for part in parts_of(task, framework, case(2), [4]):
            call = learner.trace if part.name == "forward" else learner.train_step
            arguments = [{}] if part.name == "forward" else [{}, 0.1, None]
            progress.time(part.name, lambda call=call, arguments=arguments: call(*arguments))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "torch: loading"
    assert [line for line in lines if line.startswith("jittor: steps")] == [
        "jittor: steps (2 steps), about 00:00 left, 00:00 for the whole"
    ] * 2


def test_images_to_train_on_are_made_only_where_a_gate_trains(tmp_path, monkeypatch):
    monkeypatch.setattr(prepare, "IMAGES", {"train": 3, "val": 2})
    settings = load_settings("yolact_tiny")
    forward = prepare.prepare(tmp_path / "forward", settings, 2, None, gates=[1, 5])
    trained = prepare.prepare(tmp_path / "trained", settings, 2, None, gates=[1, 2])
    assert not (forward.data / "train").exists()
    assert len(list((trained.data / "train").iterdir())) == 3
    for name, array in trained.inputs().items():
        np.testing.assert_array_equal(forward.inputs()[name], array)
    assert list(forward.validation().category_ids) == list(trained.validation().category_ids)
