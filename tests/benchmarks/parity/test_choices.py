"""Proposals in a training step: the reference's are written and handed over, the own ones are held against them."""

import numpy as np
import pytest

from benchmarks.parity.choices import GATE, NUMBER, Choices
from benchmarks.parity.judge import Tolerances
from common.families.mask_rcnn import training
from common.families.mask_rcnn.proposals import Proposals

COUNT = 100


def proposals(rows, shift=0.0):
    """Two images', of the anchors below 40 and of the others, with boxes that follow from the anchor."""
    rows = np.array(list(rows), np.int32)
    boxes = np.stack([rows, rows, rows + 10, rows + 20], axis=1).astype(np.float32) + np.float32(shift)
    return [Proposals(boxes[of], rows[of].astype(np.float32), rows[of]) for of in (rows < 40, rows >= 40)]


@pytest.fixture
def step(monkeypatch, tmp_path):
    """step(choices, own): what a training step goes on with."""

    def run(choices, own):
        monkeypatch.setattr(training, "propose", lambda *given: own)
        with choices.of("gradients"):
            return training.propose()

    run(Choices(tmp_path, hands_over=False), proposals(range(COUNT)))
    return run


def test_a_step_goes_on_with_the_references_choice(step, tmp_path):
    reference = proposals(range(COUNT))
    given = step(Choices(tmp_path, hands_over=True), proposals(range(COUNT - 30), shift=1.0))
    for found, expected in zip(given, reference, strict=True):
        for name in ("boxes", "scores", "rows"):
            np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


@pytest.mark.parametrize(("others", "passes"), [(0, True), (2, True), (3, False)])
def test_few_may_be_others_and_the_report_says_how_many(step, tmp_path, others, passes):
    choices = Choices(tmp_path, hands_over=True)
    step(choices, proposals([*range(others, COUNT), *range(1000, 1000 + others)]))
    findings = {finding.name: finding for finding in choices.findings(Tolerances())}
    assert {finding.gate for finding in findings.values()} == {GATE}
    assert findings["proposals"].passed and findings["proposal scores"].passed
    assert findings[NUMBER].passed is passes
    told = "98 of 100; every step goes on with the reference's"
    assert findings[NUMBER].detail == (told if others == 2 else "" if passes else findings[NUMBER].detail)


def test_boxes_that_lie_elsewhere_depart(step, tmp_path):
    choices = Choices(tmp_path, hands_over=True)
    step(choices, proposals(reversed(range(COUNT)), shift=1.0))
    findings = {finding.name: finding for finding in choices.findings(Tolerances())}
    assert not findings["proposals"].passed and "+1" in findings["proposals"].usual_cause
    step(choices, proposals(range(COUNT)))  # later steps are not looked at
    assert not choices.findings(Tolerances())[0].passed


def test_a_model_without_proposals_chooses_nothing(tmp_path):
    choices = Choices(tmp_path, hands_over=True)
    with choices.of("gradients"):
        pass
    assert choices.findings(Tolerances()) == []
