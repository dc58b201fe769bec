"""Parity's five gates on yolact_tiny: they pass as it is, and name every fault that is planted in this wing."""

import subprocess
import sys

import pytest

from benchmarks.parity.finding import Run
from benchmarks.parity.prepare import prepare
from benchmarks.parity.worker import compare
from common.config import load_settings
from tests.wings.parity_faults import FAULTS

pytestmark = pytest.mark.slow

STILL, TRAINING = 4, 8  # images a batch: norms stand still, and train
STEPS = {STILL: 20, TRAINING: 3}


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """The folder of a case that the reference has written, in a process of its own."""
    made = {}

    def folder(batch_size):
        if batch_size not in made:
            made[batch_size] = tmp_path_factory.mktemp("case") / "tiny"
            prepare(made[batch_size], load_settings("yolact_tiny"), batch_size, None, STEPS[batch_size])
            command = [sys.executable, "-m", "benchmarks.parity.worker", "record", "torch", str(made[batch_size])]
            subprocess.run([*command, "--everything"], check=True)
        return made[batch_size]

    return folder


def findings(folder, wing, framework, gates):
    return Run(framework, "torch", compare(folder, wing("learner").Learner, gates, {}))


@pytest.mark.parametrize("batch_size", [STILL, TRAINING])
def test_every_gate_passes(reference, wing, framework, batch_size):
    run = findings(reference(batch_size), wing, framework, [1, 2, 3, 4, 5])
    assert not run.failures(), run.first()
    assert {finding.gate for finding in run.findings} == {1, 2, 3, 4, 5}
    last = max(finding.step for finding in run.of(4))
    assert last == STEPS[batch_size]


@pytest.mark.parametrize("planted", FAULTS)
def test_a_fault_is_found_and_named(reference, wing, framework, monkeypatch, planted):
    fault = FAULTS[planted]
    folder = reference(STILL if fault.still else TRAINING)
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
