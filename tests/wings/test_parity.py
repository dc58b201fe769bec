"""Parity's five gates on the tiny models: they pass as these are, and name every fault that is planted in this wing."""

import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

import numpy as np
import pytest

from benchmarks.parity import layers
from benchmarks.parity.case import STEPS, Case, make_learner
from benchmarks.parity.finding import GATES
from benchmarks.parity.judge import Judge
from benchmarks.parity.prepare import prepare
from benchmarks.parity.progress import Progress
from benchmarks.parity.tolerances import MOST, UNBOUNDED, Tolerances
from benchmarks.parity.worker import compare
from common.models import load_settings
from tests.wings import (
    cascade_faults,
    mask2former_faults,
    parity_faults,
    point_rend_faults,
    pose_faults,
    rcnn_faults,
)

pytestmark = pytest.mark.slow

STEPS_WITH_FAULTS = 5  # in as many a fault is told from a leap


@dataclass(frozen=True)
class Model:
    name: str
    batch_size: int
    overrides: tuple[str, ...] = ()
    steps: int = 10  # in one model as many as the command makes


STILL = Model("yolact_tiny", 4)  # with so few images norms stand still
TRAINING = Model("yolact_tiny", 8, steps=STEPS)
TWO_STAGES = Model("mask_rcnn_tiny", 2, ("network.frozen_norm=true",))  # as in all larger ones
PERSONS = Model("pose2seg_tiny", 4)
POINTS = Model("point_rend_tiny", 2, ("network.frozen_norm=true",))
CASCADE = Model("cascade_mask_rcnn_tiny", 2, ("network.frozen_norm=true",))
QUERIES = Model("mask2former_tiny", 4)  # of fewer images the pairs are too few to tell by them
MODELS = {
    "still": STILL,
    "training": TRAINING,
    "two stages": TWO_STAGES,
    "persons": PERSONS,
    "points": POINTS,
    "cascade": CASCADE,
    "queries": QUERIES,
}
OF_EACH_FAMILY = {name: model for name, model in MODELS.items() if model is not TRAINING}
# Pose2Seg makes its outputs from the pyramid's finest map alone; its checkpoints have the layers of the others, too.
UNUSED = {"pose2seg_tiny": {"fpn.output.1", "fpn.output.2", "fpn.output.3"}}
FAULTS = [(STILL if fault.still else TRAINING, name, fault) for name, fault in parity_faults.FAULTS.items()]
FAULTS += [(TWO_STAGES, name, fault) for name, fault in rcnn_faults.FAULTS.items()]
FAULTS += [(PERSONS, name, fault) for name, fault in pose_faults.FAULTS.items()]
FAULTS += [(POINTS, name, fault) for name, fault in point_rend_faults.FAULTS.items()]
FAULTS += [(CASCADE, name, fault) for name, fault in cascade_faults.FAULTS.items()]
FAULTS += [(QUERIES, name, fault) for name, fault in mask2former_faults.FAULTS.items()]


def pytest_generate_tests(metafunc):
    """Gives the wings that are compared with the reference all models and faults, and its own those of one family."""
    is_reference = metafunc.config.getoption("--framework") == "torch"
    if "fault" in metafunc.fixturenames:
        planted = FAULTS[: len(parity_faults.FAULTS)] if is_reference else FAULTS
        names = [name for _, name, _ in planted]
        metafunc.parametrize(("model", "fault"), [entry[::2] for entry in planted], ids=names)
    elif "model" in metafunc.fixturenames:
        models = MODELS if metafunc.function is test_every_gate_passes_and_could_fail else OF_EACH_FAMILY
        models = {"still": STILL} if is_reference else models
        metafunc.parametrize("model", models.values(), ids=models)


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """The folder of a case that the reference has written, in a process of its own."""
    made = {}

    def folder(model):
        if model not in made:
            made[model] = tmp_path_factory.mktemp("case") / "tiny"
            prepare(made[model], load_settings(model.name, model.overrides), model.batch_size, None, model.steps)
            command = [sys.executable, "-m", "benchmarks.parity.worker", "record", "torch", str(made[model])]
            subprocess.run(command, check=True)
        return made[model]

    return folder


@pytest.fixture(scope="module")
def reference_of_few_steps(reference, tmp_path_factory):
    """The same, of which fewer steps are looked at."""
    made = {}

    def folder(model):
        if model not in made:
            made[model] = tmp_path_factory.mktemp("case") / "tiny"
            shutil.copytree(reference(model), made[model])
            replace(Case.load(made[model]), steps=STEPS_WITH_FAULTS).save(made[model])
        return made[model]

    return folder


def run_gates(folder, wing, gates):
    return compare(folder, wing("learner").Learner, gates, Progress())


def test_every_gate_passes_and_could_fail(reference, wing, model):
    run = run_gates(reference(model), wing, list(GATES))
    assert not run.failures(), run.first()
    assert {finding.gate for finding in run.findings} == set(GATES)
    steps = [finding for finding in run.findings_of(4) if finding.mode == "injected"]
    assert {finding.step for finding in steps} == set(range(1, model.steps + 1))
    for finding in run.findings:
        if finding.passed and finding.tolerance is not None:
            figures = (finding.tolerance.largest, finding.tolerance.frobenius)
            assert min(figures) <= MOST or finding.difference.largest == 0, finding
            assert all(figure <= MOST or figure == UNBOUNDED for figure in figures), finding
    for gate, (found, planted) in run.sensitivity.items():
        assert 30 * found >= 29 * planted, (gate, found, planted)
    assert set(run.sensitivity) == set(GATES)


def test_every_array_of_the_weights_moves_an_output(reference, wing, model):
    """A module whose arrays of one kind are 1 % larger fails gate 1, whichever module and kind."""
    folder = reference(model)
    case = Case.load(folder)
    learner, weights = make_learner(case, wing("learner").Learner, folder), case.weights(folder)
    judge = Judge(Tolerances.load(folder / "tolerances.json"))
    for kind in sorted({name.rpartition(".")[2] for name in weights}):
        of_kind = [name for name in weights if name.endswith(f".{kind}")]
        learner.load_weights(weights | {name: np.float32(1.01) * weights[name] for name in of_kind})
        findings = layers.compare_modules(case, learner, folder, judge, "injected")
        failed = {_module_of(finding) for finding in findings if finding.failed}
        ran = {_module_of(finding) for finding in findings}
        # An array of a module that has others within it, as a table of attention, is seen in the input of one of these.
        inputs = {name.removeprefix("input of ") for name in failed if name.startswith("input of ")}
        around = {name[:end] for name in inputs for end, letter in enumerate(name) if letter == "."}
        modules = {name.rpartition(".")[0] for name in of_kind} - UNUSED.get(model.name, set())
        # What only holds arrays, as the first matrices of attention, is seen in the module that reads them.
        hidden = {name if name in ran else name.rpartition(".")[0] for name in modules} - failed - around
        assert not hidden, (kind, hidden)


def _module_of(finding):
    return finding.name.partition("@")[0].partition("/")[0]


def test_a_fault_is_found_and_named(reference_of_few_steps, wing, framework, monkeypatch, model, fault):
    folder = reference_of_few_steps(model)
    # MindSpore would go on with what it compiled before the fault was planted.
    monkeypatch.setenv("MS_JIT", "0")
    fault.plant(wing, monkeypatch, framework)
    run = run_gates(folder, wing, [1, 5] if fault.gate == 5 else [1] if fault.gate == 1 else range(2, fault.gate + 1))
    first = run.first()
    assert first is not None, "nothing was found"
    assert first.gate == fault.gate and fnmatchcase(first.name, fault.name), (first.gate, first.name)
    assert first.pattern in fault.patterns, (first.pattern, first.detail)
    assert first.usual_cause
    assert min(finding.gate for finding in run.failures()) == fault.gate  # no gate before it fails
