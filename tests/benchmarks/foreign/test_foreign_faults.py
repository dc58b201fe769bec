"""Faults of foreign ports are planted in a small network: the judge names the layer, and the cause among two.

Both networks are written as dumps, the port's with names and classes of its own, and judged from there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from benchmarks.foreign.hypotheses.explain import explain_statistic
from benchmarks.parity.faults import find_faults
from benchmarks.parity.finding import Finding
from benchmarks.parity.summary import passed
from tests.benchmarks.foreign.faults import FAULTS, Fault
from tests.benchmarks.foreign.trial import Trial

RIGHT = 0.9  # 45 of 50
RIGHT_WITHOUT_PARAMETERS = 0.7
MOST_ALIKE = 8  # faults of which the words of one may tell


@dataclass(frozen=True)
class Answer:
    """finding: the first departure, as the verdict names it; None where the port passed."""

    fault: Fault
    finding: Finding | None

    @property
    def causes(self) -> list[str]:
        return [self.finding.usual_cause, self.finding.second_cause] if self.finding else []

    @property
    def is_layer_right(self) -> bool:
        return self.finding is not None and self.finding.name == self.fault.layer

    @property
    def is_cause_right(self) -> bool:
        return self.is_layer_right and is_told(self.fault, self.causes)

    def __str__(self) -> str:
        mark = "right" if self.is_cause_right else "cause WRONG" if self.is_layer_right else "layer WRONG"
        found = self.finding.name if self.finding else "nothing"
        return f"{mark}  {self.fault.name}: {found}: {' | '.join(filter(None, self.causes))}"


def is_told(fault: Fault, causes: list[str]) -> bool:
    return any(all(word in cause for word in fault.words) for cause in causes)


def ask(folder: Path, faults: Sequence[Fault] = FAULTS, **options: bool) -> list[Answer]:
    trial, answers = Trial(folder, seed=0, images=2, **options), []
    for fault in faults:
        found = find_faults(trial.judge(fault).run, [])
        answers.append(Answer(fault, found and found.first))
    return answers


def table(answers: list[Answer]) -> str:
    """A line for each fault, and how many of them were named."""
    layers, causes = (sum(getattr(answer, what) for answer in answers) for what in ("is_layer_right", "is_cause_right"))
    counts = f"of {len(answers)} faults {layers} layers are named and {causes} causes"
    return "\n".join([*map(str, answers), counts])


@pytest.fixture(scope="module")
def answers(tmp_path_factory) -> list[Answer]:
    return ask(tmp_path_factory.mktemp("trial"))


def test_the_layer_and_the_cause_are_named(answers):
    """At least 45 of 50."""
    assert len(FAULTS) >= 50
    check(answers)


def check(answers: list[Answer], causes: float = RIGHT) -> None:
    assert sum(answer.is_layer_right for answer in answers) >= RIGHT * len(answers), table(answers)
    assert sum(answer.is_cause_right for answer in answers) >= causes * len(answers), table(answers)


def test_words_tell_of_few_faults(answers):
    """A cause that says everything would be right everywhere."""
    for fault in FAULTS:
        alike = [answer.fault.name for answer in answers if is_told(fault, answer.causes)]
        assert len(alike) <= MOST_ALIKE, (fault.words, alike)


@pytest.mark.slow
def test_dumps_without_parameters_still_name_most(tmp_path):
    check(ask(tmp_path, FAULTS[::2], has_parameters=False), RIGHT_WITHOUT_PARAMETERS)


@pytest.mark.slow
def test_a_port_that_keeps_its_channels_last_is_judged_as_well(tmp_path):
    check(ask(tmp_path, FAULTS[::4], keeps_channels_last=True))


@pytest.mark.parametrize("keeps_channels_last", [False, True])
def test_the_right_network_passes(tmp_path, keeps_channels_last):
    trial = Trial(tmp_path, seed=3, images=1, keeps_channels_last=keeps_channels_last)
    run = trial.judge().run
    assert passed([run])
    assert [finding.name for finding in run.findings] == [
        name for name, layer in trial.network.items() if layer.is_seen
    ]


@pytest.mark.parametrize(
    ("name", "update", "words"),
    [
        ("running_mean", lambda old, batch: 0.1 * old + 0.9 * batch, "read the other way"),
        ("running_var", lambda old, batch: 0.1 * old + 0.9 * batch, "read the other way"),
        ("running_var", lambda old, batch: old, "not updated"),
        ("running_var", lambda old, batch: 0.9 * old + 0.1 * batch * 63 / 64, "biased (n) where"),
        ("running_mean", lambda old, batch: 0.95 * old + 0.05 * batch, "another: the statistic moves 0.5 times"),
    ],
)
def test_statistics_after_a_step(name, update, words):
    rng = np.random.default_rng(5)
    old, batch = rng.uniform(0.5, 2, 16), rng.uniform(0.1, 3, 16)
    reference, other = (0.9 * old + 0.1 * batch).astype(np.float32), update(old, batch).astype(np.float32)
    finding = Finding(4, f"bn1.{name}", "update", "failed", pattern="scale", usual_cause="usually the learning rate")
    told = explain_statistic(finding, old, reference, other)
    assert words in told.usual_cause and "learning rate" not in told.usual_cause + told.second_cause
