"""Parity's five gates on the tiny models: they pass as these are, and name every fault that is planted in this wing."""

import subprocess
import sys
from dataclasses import dataclass

import pytest

from benchmarks.parity.finding import Run
from benchmarks.parity.prepare import prepare
from benchmarks.parity.progress import Progress
from benchmarks.parity.worker import compare
from common.models import load_settings
from tests.wings import parity_faults, pose_faults, rcnn_faults

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Model:
    name: str
    batch_size: int
    steps: int
    overrides: tuple[str, ...] = ()


# With so few images norms stand still; rounding grows all the same, and is too much after about sixteen steps.
STILL = Model("yolact_tiny", 4, 12)
# Where norms train it grows tenfold a step, unless the rate is low.
TRAINING = Model("yolact_tiny", 8, 3, ("schedule.learning_rate=0.00003", "schedule.warmup_iterations=0"))
TWO_STAGES = Model("mask_rcnn_tiny", 2, 3, ("network.frozen_norm=true",))  # as in all larger ones
PERSONS = Model("pose2seg_tiny", 4, 3, ("network.frozen_norm=true",))
FAULTS = [(STILL if fault.still else TRAINING, name, fault) for name, fault in parity_faults.FAULTS.items()]
FAULTS += [(TWO_STAGES, name, fault) for name, fault in rcnn_faults.FAULTS.items()]
FAULTS += [(PERSONS, name, fault) for name, fault in pose_faults.FAULTS.items()]


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """The folder of a case that the reference has written, in a process of its own."""
    made = {}

    def folder(model):
        if model not in made:
            made[model] = tmp_path_factory.mktemp("case") / "tiny"
            prepare(made[model], load_settings(model.name, model.overrides), model.batch_size, None, model.steps)
            command = [sys.executable, "-m", "benchmarks.parity.worker", "record", "torch", str(made[model])]
            subprocess.run([*command, "--everything"], check=True)
        return made[model]

    return folder


def findings(folder, wing, framework, gates):
    return Run(framework, "torch", compare(folder, wing("learner").Learner, gates, Progress()))


@pytest.mark.parametrize(
    "model", [STILL, TRAINING, TWO_STAGES, PERSONS], ids=["still", "training", "two stages", "persons"]
)
def test_every_gate_passes(reference, wing, framework, model):
    run = findings(reference(model), wing, framework, [1, 2, 3, 4, 5])
    assert not run.failures(), run.first()
    assert {finding.gate for finding in run.findings} == {1, 2, 3, 4, 5}
    last = max(finding.step for finding in run.findings_of(4))
    assert last == model.steps


@pytest.mark.parametrize(("model", "fault"), [entry[::2] for entry in FAULTS], ids=[name for _, name, _ in FAULTS])
def test_a_fault_is_found_and_named(reference, wing, framework, monkeypatch, model, fault):
    folder = reference(model)
    fault.plant(wing, monkeypatch, framework)
    gates = [1, 5] if fault.gate == 5 else list(range(1, fault.gate + 1))
    run = findings(folder, wing, framework, gates)
    first = run.first()
    assert first is not None, "nothing was found"
    assert (first.gate, first.name) == (fault.gate, fault.name)
    assert first.pattern in fault.patterns, (first.pattern, first.detail)
    assert first.usual_cause
    # No gate before it fails.
    assert {finding.gate for finding in run.failures()} >= {fault.gate}
    assert min(finding.gate for finding in run.failures()) == fault.gate
