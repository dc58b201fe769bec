"""Faults of foreign ports are planted in a small network: the judge names the layer, and the cause among two."""

from dataclasses import dataclass

import numpy as np
import pytest

from benchmarks.foreign.hypotheses.explain import explain_statistic
from benchmarks.parity.finding import Finding
from tests.benchmarks.foreign.faults import FAULTS, Fault
from tests.benchmarks.foreign.trial import Reference

RIGHT = 0.9  # 45 of 50
RIGHT_WITHOUT_PARAMETERS = 0.7
MOST_ALIKE = 8  # faults of which the words of one may tell


@dataclass(frozen=True)
class Answer:
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
        mark = "right" if self.is_cause_right else "WRONG"
        found = self.finding.name if self.finding else "nothing"
        return f"{mark}  {self.fault.name}: {found}: {' | '.join(filter(None, self.causes))}"


def is_told(fault: Fault, causes: list[str]) -> bool:
    return any(all(word in cause for word in fault.words) for cause in causes)


def ask(has_parameters: bool) -> list[Answer]:
    reference = Reference(seed=0, images=2)
    return [Answer(fault, reference.first_departure(reference.plant(fault), has_parameters)) for fault in FAULTS]


@pytest.fixture(scope="module")
def answers() -> list[Answer]:
    return ask(has_parameters=True)


def test_the_layer_and_the_cause_are_named(answers):
    """At least 45 of 50."""
    print(*answers, sep="\n")
    needed = RIGHT * len(FAULTS)
    wrong = [str(answer) for answer in answers if not answer.is_cause_right]
    assert len(FAULTS) >= 50
    assert sum(answer.is_layer_right for answer in answers) >= needed, wrong
    assert len(FAULTS) - len(wrong) >= needed, wrong


def test_words_tell_of_few_faults(answers):
    """A cause that says everything would be right everywhere."""
    for fault in FAULTS:
        alike = [answer.fault.name for answer in answers if is_told(fault, answer.causes)]
        assert len(alike) <= MOST_ALIKE, (fault.words, alike)


@pytest.mark.slow
def test_a_dump_without_parameters_still_names_most():
    answers = ask(has_parameters=False)
    wrong = [str(answer) for answer in answers if not answer.is_cause_right]
    assert all(answer.is_layer_right for answer in answers)
    assert len(FAULTS) - len(wrong) >= RIGHT_WITHOUT_PARAMETERS * len(FAULTS), wrong


def test_the_right_network_passes():
    reference = Reference(seed=3, images=1)
    assert reference.first_departure(reference.layers) is None


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
