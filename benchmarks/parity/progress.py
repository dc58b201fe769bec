"""What a comparison will do, how far it has come, and how long it will still take.

The parts of all frameworks lie in the case's folder, with the times of those that are done: each framework runs in a
process of its own, and tells from them how long the ones to come will take.
"""

import json
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self, TextIO

from tqdm import tqdm

from benchmarks.parity.case import FEWEST_STEPS, Case
from benchmarks.parity.finding import GATES
from benchmarks.parity.training import LOOKS
from common.evaluation.inference import evaluated_positions
from common.files import atomic_path

PLAIN_INTERVAL = 10.0  # seconds between two lines of one part where there is no terminal
UNITS = {"trace": "pass", "gradients": "losses and gradients", "train_step": "step", "predict": "image"}
# The usual times of a call, in forward passes of one image in float32. They serve until a part of the kind was timed.
COSTS = {"trace": 1.5, "gradients": 3.0, "train_step": 3.0, "predict": 1.5}
EXACT_COST = 2.5  # times as long as in float32
EXACT = " in float64"
COMPARED_LAYERS = ("layers accumulated", "layers injected", "layers as used", "layers with faults")


@dataclass
class Part:
    """One part of a framework's work.

    calls: how often it will call each method of the learner. cost: the guessed time of a call, in any unit that all
    parts share. done: calls made so far, which took `seconds`.
    """

    framework: str
    name: str
    calls: dict[str, int]
    cost: float
    done: int = 0
    seconds: float = 0.0
    is_finished: bool = False

    @property
    def total(self) -> int:
        return sum(self.calls.values())

    @property
    def kind(self) -> str:
        """The word that parts of like work share: "layers accumulated" and "layers in float64" are both "layers"."""
        return self.name.partition(" ")[0]

    def __str__(self) -> str:
        steps, images = self.calls.get("train_step"), self.calls.get("predict")
        does = ["losses and gradients"] if "gradients" in self.calls else []
        does += [_count(steps, "step")] if steps else []
        does += [_count(images, "image")] if images else []
        return f"{self.name} ({', '.join(does)})" if does else self.name


def parts_of(task: str, framework: str, case: Case, gates: Sequence[int]) -> list[Part]:
    """The parts of a framework's work for these gates, in their order; task: `record` or `compare`."""
    parts = []

    def add(name: str, images: int = 1, **calls: int) -> None:
        cost = max(COSTS[method] for method in calls) * images * (EXACT_COST if name.endswith(EXACT) else 1.0)
        parts.append(Part(framework, name, calls, cost))

    records = task == "record"
    batch = case.settings.schedule.batch_size
    add("forward", trace=1)
    if 1 in gates:
        for name in ["layers"] if records else COMPARED_LAYERS:
            add(name, trace=1)
    if 5 in gates:
        images = len(evaluated_positions(case.validation(), case.settings))
        for name in ["results", "results perturbed"] if records else ["results"]:
            add(name, predict=images)
    if 4 in gates:
        # Each step from the reference's state, and, where there are many, in a row as far as rounding allows.
        again = case.steps if case.steps > FEWEST_STEPS else 1
        add("steps", batch, train_step=case.steps if records else case.steps + again - 1)
        if records:
            add("steps perturbed", batch, train_step=case.steps + (again if again > 1 else 0))
    elif {2, 3} & set(gates):
        add("gradients", batch, gradients=LOOKS if records else 1)
        if records:
            add("gradients perturbed", batch, gradients=LOOKS)
    if 1 in gates and records:
        add(f"layers{EXACT}", trace=2)
    return parts


def describe(model: str, parts: Sequence[Part], gates: Iterable[int], material: str) -> str:
    """A few lines that say what will be done, in its order; material: weights and data in words."""
    frameworks = list(dict.fromkeys(part.framework for part in parts))
    lines = [
        f"{model}: {material}",
        f"  gates: {', '.join(f'{gate} {GATES[gate]}' for gate in sorted(set(gates)))}",
    ]
    for place, framework in enumerate(frameworks):
        role = "the reference" if place == 0 else "compared with it"
        names = ", ".join(str(part) for part in parts if part.framework == framework)
        lines.append(f"  {place + 1}. {framework}, {role}: {names}")
    return "\n".join(lines)


def seconds_left(parts: Sequence[Part], part: Part) -> float | None:
    """The estimated seconds to the end of a part; None while nothing was timed.

    A call takes what the part's own calls took, else, by their costs, what those of the last timed part of its kind
    took, of its own precision where there is one, else what those of all timed parts took.
    """
    if part.is_finished:
        return 0.0
    timed = [other for other in parts if other.done]
    alike = [other for other in timed if other.kind == part.kind]
    equally_exact = [other for other in alike if other.name.endswith(EXACT) == part.name.endswith(EXACT)]
    measured = [part] if part.done else equally_exact[-1:] or alike[-1:] or timed
    cost = sum(other.done * other.cost for other in measured)
    if not cost:
        return None
    return max(0, part.total - part.done) * part.cost * sum(other.seconds for other in measured) / cost


def seconds_to_the_end(parts: Sequence[Part], current: Part) -> float | None:
    """The estimated seconds from a part that is under way to the end of the last one; None while nothing was timed.

    Parts before it that are not finished were left out, as those of a framework that is not installed.
    """
    begin = next(place for place, part in enumerate(parts) if part is current)
    left = [seconds_left(parts, part) for part in parts[begin:]]
    return None if None in left else sum(left)


class Progress:
    """Times the parts of one framework's work and shows how far they are: bars on a terminal, lines elsewhere.

    parts: those of all frameworks. folder: the case's, in which their times are kept for the next process.
    stream: where it is shown; None for nowhere.
    """

    def __init__(
        self,
        framework: str = "",
        parts: Sequence[Part] = (),
        folder: Path | None = None,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ):
        self.seconds: dict[str, float] = {}  # of this framework's finished parts, by name
        self._framework, self._parts, self._folder, self._clock = framework, list(parts), folder, clock
        self._stream, self._is_terminal = stream, stream is not None and stream.isatty()
        self._current: Part | None = None
        self._bar = tqdm(disable=True)
        self._made: dict[str, int] = {}  # calls of the current part, by method
        self._began = self._shown = 0.0

    @classmethod
    def open(cls, folder: Path, task: str, framework: str, gates: Sequence[int]) -> Self:
        """The progress of a framework's process, beside the parts that lie in the folder.

        Its own parts begin anew. They are shown on standard output, which `benchmarks.parity` makes its standard error.
        """
        print(f"{framework}: loading", flush=True)
        own = {part.name: part for part in parts_of(task, framework, Case.load(folder), gates)}
        parts = [own.pop(p.name, p) if p.framework == framework else p for p in _load(folder)]
        return cls(framework, [*parts, *own.values()], folder, sys.stdout)

    def time(self, name: str, work: Callable[[], Any]) -> Any:
        """Does a part's work and gives its answer."""
        part = self._part(name)
        self._current, self._made = part, {}
        self._began = self._shown = self._clock()
        self._say(str(part))
        self._bar = tqdm(
            total=part.total,
            desc=f"{self._framework}: {part.name}",
            file=self._stream,
            disable=not self._is_terminal,
            postfix=self._whole(),
            bar_format="{desc}: {percentage:3.0f}% |{bar:20}| {elapsed}<{remaining}{postfix}",
        )
        try:
            answer = work()
        finally:
            self._bar.close()
            self._current = None
        part.seconds, part.is_finished = self._clock() - self._began, True
        self.seconds[name] = part.seconds
        if self._folder:
            save(self._folder, self._parts)
        return answer

    def counted(self, learner: Any) -> Any:
        """A learner whose calls are counted as they end."""
        return _Counted(learner, self._advance)

    def _part(self, name: str) -> Part:
        for part in self._parts:
            if (part.framework, part.name) == (self._framework, name):
                return part
        self._parts.append(Part(self._framework, name, {}, 1.0))
        return self._parts[-1]

    def _advance(self, method: str) -> None:
        """Notes and shows that a call has ended."""
        part = self._current
        if part is None:
            return
        part.done += 1
        part.seconds = self._clock() - self._began
        self._made[method] = self._made.get(method, 0) + 1
        # Layers are passed through again where some depart, which is not known before.
        part.calls[method] = max(part.calls.get(method, 0), self._made[method])
        label = UNITS[method]
        if method != "gradients":
            label = f"{label} {self._made[method]} of {part.calls[method]}"
        self._bar.total = part.total
        self._bar.set_postfix_str(", ".join(filter(None, [label, self._whole()])), refresh=False)
        self._bar.update()
        if self._clock() - self._shown >= PLAIN_INTERVAL and part.done < part.total:
            self._shown = self._clock()
            self._say(f"{part.name}, {label}")

    def _say(self, text: str) -> None:
        """Writes a line with the estimates, unless bars show them."""
        if self._stream is None or self._is_terminal:
            return
        left = seconds_left(self._parts, self._current)
        facts = [text, "" if left is None else f"about {_interval(left)} left", self._whole()]
        print(f"{self._framework}: {', '.join(filter(None, facts))}", file=self._stream, flush=True)

    def _whole(self) -> str:
        """The time to the end of all parts; empty while it is not known."""
        left = seconds_to_the_end(self._parts, self._current)
        return "" if left is None else f"{_interval(left)} for the whole"


class _Counted:
    """A learner that says when one of its long calls ends."""

    def __init__(self, learner: Any, advance: Callable[[str], None]):
        self._learner, self._advance = learner, advance

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._learner, name)
        if name not in UNITS:
            return found

        def call(*given: Any, **options: Any) -> Any:
            answer = found(*given, **options)
            self._advance(name)
            return answer

        return call


def save(folder: Path, parts: Iterable[Part]) -> None:
    """Writes the parts of all frameworks into the case's folder."""
    with atomic_path(folder / "progress.json") as path:
        path.write_text(json.dumps([asdict(part) for part in parts]))


def _load(folder: Path) -> list[Part]:
    path = folder / "progress.json"
    return [Part(**values) for values in json.loads(path.read_text())] if path.exists() else []


def _count(number: int, unit: str) -> str:
    return f"{number} {unit}{'' if number == 1 else 's'}"


def _interval(seconds: float) -> str:
    """Minutes and seconds: "03:20"."""
    return tqdm.format_interval(round(seconds))
