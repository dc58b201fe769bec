"""A training that this framework records passes every gate against one that NumPy recorded, and a fault does not."""

import numpy as np
import pytest

from benchmarks.foreign import Recorder
from benchmarks.foreign.dump import read_dump
from benchmarks.foreign.judging import judge_dumps
from benchmarks.foreign.measure import Measure
from benchmarks.parity.summary import passed
from tests.benchmarks.foreign.small_training import CLASSES, ENTRIES, IMAGE, START, record_reference

STEPS, RATE, MOMENTUM, DECAY, PENALTY = 3, 0.05, 0.9, 1e-3, 1e-2


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    return read_dump(record_reference(tmp_path_factory.mktemp("dumps") / "reference", steps=STEPS))


def network(framework, layers):
    """Two linear layers with a norm and an activation between them, whose maps have one pixel."""
    module = __import__(framework).nn
    base = module.Cell if framework == "mindspore" else module.Module

    class Small(base):
        def __init__(self):
            super().__init__()
            self.fc1, self.norm = layers.Linear(8, 6), layers.BatchNorm(6)
            self.relu, self.fc2 = module.ReLU(), layers.Linear(6, 4)

        def forward(self, image):
            hidden = self.norm(self.fc1(image).reshape((16, 6, 1, 1)))
            return self.fc2(self.relu(hidden).reshape((16, 6)))

        execute = construct = forward

    return Small()


def train_in_torch(made, record, observing, decay):
    import torch

    torch.set_grad_enabled(True)
    made.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in START.items()})
    made.train()
    optimizer = torch.optim.SGD(made.parameters(), RATE, momentum=MOMENTUM, weight_decay=decay)
    for _ in range(STEPS):
        with observing.observed(made, record):
            logits = made(torch.from_numpy(IMAGE))
        losses = torch.nn.functional.cross_entropy(logits, torch.from_numpy(CLASSES)), PENALTY * logits.square().mean()
        optimizer.zero_grad()
        sum(losses).backward()
        record.backward(dict(zip(("ce", "penalty"), losses, strict=True)), observing.gradients_of(made, None))
        optimizer.step()
        record.step(observing.parameters_of(made), rate=RATE)


def train_in_jittor(made, record, observing, decay):
    import jittor as jt

    made.load_parameters({name: array.copy() for name, array in START.items()})
    made.train()
    optimizer = jt.nn.SGD(made.parameters(), RATE, momentum=MOMENTUM, weight_decay=decay)
    for _ in range(STEPS):
        with observing.observed(made, record):
            logits = made(jt.array(IMAGE))
        losses = jt.nn.cross_entropy_loss(logits, jt.array(CLASSES)), PENALTY * (logits * logits).mean()
        optimizer.zero_grad()
        optimizer.backward(losses[0] + losses[1])
        record.backward(dict(zip(("ce", "penalty"), losses, strict=True)), observing.gradients_of(made, optimizer))
        optimizer.step()
        record.step(observing.parameters_of(made), rate=RATE)


def train_in_mindspore(made, record, observing, decay):
    import mindspore as ms
    from mindspore import ops as F

    names = {"norm.gamma": "norm.weight", "norm.beta": "norm.bias"}
    names |= {"norm.moving_mean": "norm.running_mean", "norm.moving_variance": "norm.running_var"}
    for name, parameter in made.parameters_and_names():
        parameter.set_data(ms.Tensor(START[names.get(name, name)].copy()))
    made.set_train()
    # Outside of a group MindSpore decays neither gamma nor beta, which the judge finds.
    group = {"params": made.trainable_params(), "weight_decay": decay}
    optimizer = ms.nn.SGD([group], RATE, momentum=MOMENTUM)

    def terms(image):
        with observing.observed(made, record):
            logits = made(image)
        losses = F.cross_entropy(logits, ms.Tensor(CLASSES.astype(np.int32))), PENALTY * F.square(logits).mean()
        return losses[0] + losses[1], losses

    for _ in range(STEPS):
        (_, losses), gradients = ms.value_and_grad(terms, None, optimizer.parameters, has_aux=True)(ms.Tensor(IMAGE))
        record.backward(dict(zip(("ce", "penalty"), losses, strict=True)), observing.gradients_of(made, gradients))
        optimizer(gradients)
        record.step(observing.parameters_of(made), rate=RATE)


TRAIN = {"torch": train_in_torch, "jittor": train_in_jittor, "mindspore": train_in_mindspore}


@pytest.mark.parametrize("decay", [DECAY, 0.0])
def test_a_training_is_judged_at_every_gate(reference, framework, wing, tmp_path, decay):
    wing("device").select("cpu")
    made, observing = network(framework, wing("layers")), wing("observing")
    record = Recorder(tmp_path / "port", {"image": IMAGE}, START, framework)
    TRAIN[framework](made, record, observing, decay)
    record.results(ENTRIES)
    run = judge_dumps(reference, read_dump(tmp_path / "port"), Measure(reference)).run
    assert {finding.gate for finding in run.findings} == {1, 2, 3, 4, 5}
    assert {finding.step for finding in run.findings_of(4)} == {1, 2, 3}
    if decay:
        assert passed([run]), run.first()
    else:
        assert run.first().gate == 4 and "no weight decay; the reference" in run.first().usual_cause
