"""Nothing of the PyTorch wing mixes arrays of two devices: each family trains and predicts on a device that is none."""

import numpy as np
import pytest
import torch

from benchmarks.speed import mask_rcnn, pose2seg, yolact
from common import kernels
from common.config import load_settings
from common.training.schedules import with_batch_size
from tests.contract.stand_in_device import NAME, Held, StandInDevice
from torch_impl import _kernels, ops
from torch_impl import learner as learners

FAMILIES = {"yolact_tiny": yolact, "mask_rcnn_tiny": mask_rcnn, "pose2seg_tiny": pose2seg}
DEFORMABLE = ["network.backbone.deformable=[0,0,1,1]", "network.mask_iou=true", "preprocessing.size=256"]
MODELS = [*((name, []) for name in FAMILIES), ("yolact_tiny", DEFORMABLE)]


@pytest.fixture
def no_kernels(monkeypatch):
    monkeypatch.setattr(kernels, "library", lambda: None)
    monkeypatch.setattr(_kernels, "torchvision_ops", lambda: None)


def work(model: str, overrides: list[str], device: str, monkeypatch) -> dict[str, np.ndarray]:
    """Losses, gradients, two steps of training and detections on a device, by name."""
    monkeypatch.setattr(learners.devices, "select", lambda name: name)
    settings, family = load_settings(model, overrides), FAMILIES[model]
    settings = settings.model_copy(update={"schedule": with_batch_size(settings.schedule, 2)})
    learner = learners.Learner(settings, device, training=True)
    learner.load_weights(family.make_work(settings, 0).weights(learner.shapes()))
    batch, inputs = family.batch(settings, 2, 0), family.inputs(settings, 2, 0)
    found = {f"detections {index}": each.boxes for index, each in enumerate(learner.predict(inputs))}
    assert all(len(boxes) > 2 for boxes in found.values())
    losses, gradients = learner.gradients(batch)
    found |= {f"loss {name}": np.array(value) for name, value in losses.items()}
    found |= {f"gradient {name}": value for name, value in gradients.items()}
    learner.train_step(batch, 1e-4)
    learner.load_optimizer_state(learner.optimizer_state())
    learner.train_step(batch, 1e-4)
    return found | learner.weights()


@pytest.mark.parametrize(("model", "overrides"), MODELS, ids=["yolact", "mask_rcnn", "pose2seg", "yolact_plus"])
def test_a_family_keeps_to_its_device(model, overrides, no_kernels, monkeypatch):
    expected = work(model, overrides, "cpu", monkeypatch)
    with StandInDevice():
        found = work(model, overrides, NAME, monkeypatch)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-4, atol=1e-5 + 1e-4 * np.abs(value).max(), err_msg=name)


def test_the_device_tells_arrays_apart():
    indices = torch.tensor([1, 0], dtype=torch.int32)
    with StandInDevice():
        x = torch.arange(4.0, device=NAME)
        assert isinstance(x, Held) and x.device.type == NAME
        np.testing.assert_array_equal(ops.to_numpy(ops.take(x, ops.asarray(indices, x))), [1, 0])
        assert (x * torch.tensor(2.0)).sum().item() == 12  # a number may come from anywhere
        with pytest.raises(RuntimeError, match="two devices"):
            ops.take(x, indices)
        with pytest.raises(RuntimeError, match="two devices"):
            x + torch.ones(4)
        with pytest.raises(RuntimeError, match="numpy"):
            x.numpy()
