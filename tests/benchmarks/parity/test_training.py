"""The training gates: what they compute, which steps they compare, and that a leap at a kink is told from a fault."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.parity import steps, training
from benchmarks.parity.case import FEWEST_STEPS, STEPS, Case
from benchmarks.parity.finding import Difference, Finding, Tolerance
from benchmarks.parity.judge import Judge
from benchmarks.parity.tolerances import Tolerances
from common.models import load_settings

COUNT = 10
NAMES = ("conv.weight", "conv.bias", "fc.weight")
RATE, MOMENTUM = 0.1, 0.9


class Learner:
    """A learner of a made-up loss 0.5 * sum((w * x)^2), by SGD with momentum.

    spoil: spoil(name, gradient, batch) -> the gradient in its place. forget: the memory never leaves zero.
    """

    def __init__(self, spoil=lambda name, gradient, batch: gradient, forget=False):
        self._spoil, self._forget, self._weights, self._memory, self.called = spoil, forget, {}, {}, []

    def gradients(self, batch, choose):
        self.called.append("gradients")
        return self._backward(batch)

    def train_step(self, batch, rate, choose, gradients=None):
        self.called.append("train_step")
        losses, computed = self._backward(batch)
        if gradients is not None:
            gradients |= computed
        for name, gradient in computed.items():
            kept = 0.0 if self._forget else self._memory.get(f"momentum_buffer/{name}", 0.0)
            self._memory[f"momentum_buffer/{name}"] = np.float32(MOMENTUM) * kept + gradient
            self._weights[name] = self._weights[name] - np.float32(RATE) * self._memory[f"momentum_buffer/{name}"]
        return losses

    def _backward(self, batch):
        image = batch["image"]
        values = {name: weight * image for name, weight in self._weights.items()}
        losses = {name[:2]: 0.5 * float(np.sum(np.square(value))) for name, value in values.items()}
        gradients = {name: self._spoil(name, value * image, batch) for name, value in values.items()}
        return losses, gradients

    def weights(self):
        return dict(self._weights)

    def load_weights(self, weights):
        self._weights = {name: np.array(weight) for name, weight in weights.items()}

    def optimizer_state(self):
        return dict(self._memory)

    def load_optimizer_state(self, memory):
        self._memory = dict(memory)

    def trainable(self):
        return list(self._weights)


def weights(folder=None):
    rng = np.random.default_rng(0)
    return {name: rng.normal(size=50).astype(np.float32) for name in NAMES}


def batches(count):
    rng = np.random.default_rng(1)
    for number in range(count):
        yield {"image": rng.uniform(0.5, 1.0, 50).astype(np.float32), "number": np.array(number)}


CASE = SimpleNamespace(settings=load_settings("yolact_tiny"), steps=COUNT, weights=weights, batches=batches)


def learner(**options):
    made = Learner(**options)
    made.load_weights(weights())
    return made


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """The folder of a case that the reference has recorded, and what was measured."""
    folder, tolerances = tmp_path_factory.mktemp("case"), Tolerances()
    steps.record(CASE, learner(), folder)
    steps.measure_perturbed(CASE, learner(), folder, tolerances)
    return folder, tolerances


@pytest.fixture(scope="module")
def recorded_gradients(tmp_path_factory):
    """The same where gate 4 is not asked for."""
    folder, tolerances = tmp_path_factory.mktemp("gradients"), Tolerances()
    training.record(CASE, learner(), folder)
    training.measure_perturbed(CASE, learner(), folder, tolerances)
    return folder, tolerances


def compare_gradients(recorded, **options):
    folder, tolerances = recorded
    return training.compare(CASE, learner(**options), folder, Judge(tolerances))


def compare_steps(recorded, **options):
    folder, tolerances = recorded
    return steps.compare(CASE, learner(**options), folder, Judge(tolerances))


def verdicts(findings, verdict):
    return {(finding.name, finding.step) for finding in findings if finding.verdict == verdict}


def test_equal_learners_pass_in_every_step(recorded, recorded_gradients):
    assert all(finding.passed for finding in compare_gradients(recorded_gradients))
    findings, losses = compare_steps(recorded)
    assert all(finding.passed for finding in findings)
    injected = [finding for finding in findings if finding.mode == "injected"]
    assert {finding.step for finding in injected} == set(range(1, COUNT + 1))
    names = {f"momentum_buffer/{name}" for name in NAMES} | {f"update of {name}" for name in NAMES}
    assert {finding.name for finding in injected} == names | {"loss.co", "loss.fc"}
    assert losses == json.loads((recorded[0] / "losses.json").read_text())
    assert f"{COUNT} of {COUNT} from the reference's own state" in findings[-1].detail


def test_a_gradient_that_is_a_little_off_is_found_in_every_step(recorded, recorded_gradients):
    def spoil(name, gradient, batch):
        return gradient * np.float32(1.001 if name == "fc.weight" else 1.0)

    assert verdicts(compare_gradients(recorded_gradients, spoil=spoil), "failed") == {("fc.weight", None)}
    findings, _ = compare_steps(recorded, spoil=spoil)
    for name in ("momentum_buffer/fc.weight", "update of fc.weight"):
        assert {step for found, step in verdicts(findings, "failed") if found == name} == set(range(1, COUNT + 1))
    # A step from the reference's own state is no consequence of the one before it.
    injected = [finding for finding in findings if finding.mode == "injected"]
    assert verdicts(injected, "failed") == {
        (f"{what}fc.weight", step) for what in ("momentum_buffer/", "update of ") for step in range(1, COUNT + 1)
    }
    assert verdicts(findings, "failed") - verdicts(injected, "failed") >= {("fc.weight", None)}  # gate 3


def test_a_memory_that_is_not_kept_is_found_from_the_second_step(recorded):
    failed = verdicts(compare_steps(recorded, forget=True)[0], "failed")
    assert min(step for _, step in failed) == 2
    assert ("momentum_buffer/conv.bias", 2) in failed and ("momentum_buffer/conv.bias", COUNT) in failed


@pytest.mark.parametrize(("batch_numbers", "verdict"), [([0], "cannot tell"), ([0, 1], "failed"), ([2], "passed")])
def test_a_gradient_that_leaps_in_the_first_batch_alone_is_no_fault(recorded_gradients, batch_numbers, verdict):
    def spoil(name, gradient, batch):
        leaps = name == "fc.weight" and int(batch["number"]) in batch_numbers
        return gradient + np.float32(0.01 if leaps else 0.0)

    findings = {finding.name: finding for finding in compare_gradients(recorded_gradients, spoil=spoil)}
    assert findings["fc.weight"].verdict == verdict
    assert all(finding.passed for name, finding in findings.items() if name != "fc.weight")


@pytest.mark.parametrize(("leaps", "verdict"), [(1, "cannot tell"), (4, "cannot tell"), (5, "failed")])
def test_a_step_that_leaps_is_told_from_a_fault_by_the_other_steps(recorded, leaps, verdict):
    def spoil(name, gradient, batch):
        return gradient + np.float32(0.01 if name == "fc.weight" and 4 <= batch["number"] < 4 + leaps else 0.0)

    findings, _ = compare_steps(recorded, spoil=spoil)
    assert all(finding.passed for finding in findings if finding.gate == 3)  # those of the first step
    departing = [finding for finding in findings if not finding.passed and finding.mode == "injected"]
    assert {finding.verdict for finding in departing} == {verdict}
    assert {finding.step for finding in departing} == set(range(5, 5 + leaps))


@pytest.mark.parametrize(
    ("excesses", "verdict"),
    [([1.3], "cannot tell"), ([1.3, 1.9], "cannot tell"), ([1.3, 2.1], "failed"), ([1.3, 1.3, 1.3], "failed")],
)
def test_of_three_looks_two_may_depart_slightly(excesses, verdict):
    findings = [
        Finding(3, "fc.weight", "gradient", "failed", Difference(size, size, 1.0, 1.0), Tolerance(0.0, 0.0, 1.0, 1.0))
        for size in excesses
    ]
    kept = training.Excesses()
    for finding in findings:
        kept.add([finding])
    assert [found.verdict for found in training.excuse_leaps(findings[:1], kept, 3)] == [verdict]


def test_a_parameter_that_stands_still_is_named(recorded):
    def spoil(name, gradient, batch):
        return 0 * gradient if name == "fc.weight" else gradient

    findings, _ = compare_steps(recorded, spoil=spoil)
    first = next(finding for finding in findings if finding.failed and finding.kind == "update")
    assert (first.name, first.step, first.pattern) == ("update of fc.weight", 1, "did not move")


def test_a_parameter_that_is_trained_on_one_side_alone_is_named(recorded, monkeypatch):
    monkeypatch.setattr(Learner, "trainable", lambda self: ["conv.weight", "conv.bias"])
    findings, _ = compare_steps(recorded, spoil=lambda name, gradient, batch: gradient * np.float32(name[0] == "c"))
    found = {finding.name: finding for finding in findings if finding.failed and finding.step == 1}
    assert found["update of fc.weight"].pattern == "trained or not"


def test_causes_are_the_failures_of_the_first_gate_and_step():
    def failed(gate, step=None, mode="accumulated"):
        return Finding(gate, "x", "update", "failed", step=step, mode=mode)

    found = [failed(4, 2), failed(4, 1, "injected"), failed(4, 2, "injected"), Finding(2, "x", "loss", "passed")]
    assert [each.role for each in training.assign_roles(found)] == ["consequence", "cause", "consequence", ""]
    assert [each.role for each in training.assign_roles([*found, failed(3)])][-1] == "cause"


def test_large_models_make_few_steps(tmp_path):
    settings = load_settings("yolact_tiny")
    for mib, expected in ((1, STEPS), (63, STEPS), (65, FEWEST_STEPS)):
        with (tmp_path / "weights.safetensors").open("wb") as file:
            file.truncate(mib * 2**20)
        assert Case(settings, tmp_path).affordable_steps(tmp_path) == expected
