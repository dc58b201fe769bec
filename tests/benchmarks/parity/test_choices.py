"""What a training step chooses: the reference's choices are written and handed over, the own ones are compared."""

from dataclasses import dataclass

import numpy as np
import pytest

from benchmarks.parity.choices import GATE, Choices
from benchmarks.parity.judge import Judge
from benchmarks.parity.tolerances import Tolerances
from common.families.mask_rcnn.parity import PARITY
from common.families.mask_rcnn.proposals import Proposals

COUNT = 100
NUMBER = "number of equal proposals"


def proposals(rows, shift=0.0):
    """Two images', of the anchors below 40 and of the others, with boxes that follow from the anchor."""
    rows = np.array(list(rows), np.int32)
    boxes = np.stack([rows, rows, rows + 10, rows + 20], axis=1).astype(np.float32) + np.float32(shift)
    return [Proposals(boxes[of], rows[of].astype(np.float32), rows[of]) for of in (rows < 40, rows >= 40)]


@pytest.fixture
def choices(tmp_path):
    """Choices beside those that the reference has written."""
    own = proposals(range(COUNT))
    assert Choices(tmp_path, PARITY.row_keys).recording("gradients")("proposals", own) is own
    return Choices(tmp_path, PARITY.row_keys)


def test_a_step_goes_on_with_the_references_choice(choices):
    reference = proposals(range(COUNT))
    found = choices.handing_over("gradients")("proposals", proposals(range(COUNT - 30), shift=1.0))
    for given, expected in zip(found, reference, strict=True):
        for name in ("boxes", "scores", "rows"):
            np.testing.assert_array_equal(getattr(given, name), getattr(expected, name))


@pytest.mark.parametrize(("others", "passes"), [(0, True), (2, True), (3, False)])
def test_few_may_be_others_and_the_report_says_how_many(choices, others, passes):
    choices.handing_over("gradients")("proposals", proposals([*range(others, COUNT), *range(1000, 1000 + others)]))
    findings = {finding.name: finding for finding in choices.findings(Judge(Tolerances()))}
    assert {finding.gate for finding in findings.values()} == {GATE}
    assert findings["proposals.boxes"].passed and findings["proposals.scores"].passed
    assert findings[NUMBER].passed is passes
    told = "98 of 100; every step goes on with the reference's"
    assert findings[NUMBER].detail == (told if others == 2 else "" if passes else findings[NUMBER].detail)
    assert passes or "suppression" in findings[NUMBER].usual_cause


def test_boxes_that_lie_elsewhere_depart(choices):
    choose = choices.handing_over("gradients")
    choose("proposals", proposals(reversed(range(COUNT)), shift=1.0))
    findings = {finding.name: finding for finding in choices.findings(Judge(Tolerances()))}
    assert not findings["proposals.boxes"].passed and "+1" in findings["proposals.boxes"].usual_cause
    choose("proposals", proposals(range(COUNT)))  # later steps are not looked at
    assert not choices.findings(Judge(Tolerances()))[0].passed


@dataclass(frozen=True)
class Points:
    places: np.ndarray  # (N, P, 2)


def test_a_choice_without_keys_is_compared_in_its_order(tmp_path):
    places = np.random.default_rng(0).uniform(size=(3, 5, 2)).astype(np.float32)
    Choices(tmp_path, {}).recording("step_1")("points", Points(places))
    choices = Choices(tmp_path, {})
    found = choices.handing_over("step_1")("points", Points(places[:, ::-1].copy()))
    np.testing.assert_array_equal(found.places, places)
    (finding,) = choices.findings(Judge(Tolerances()))
    assert finding.name == "points.places" and not finding.passed


def test_a_model_that_chooses_nothing_has_no_findings(choices):
    choices.handing_over("gradients")
    assert choices.findings(Judge(Tolerances())) == []
