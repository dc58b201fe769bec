"""What a GPU asks of the PyTorch wing, held without one: no arrays of two devices in one operation, and autocast."""

import numpy as np
import pytest
import torch

from benchmarks.speed.made_up import make_batch, make_inputs, make_weights
from common import kernels
from common.models import load_settings
from common.training.schedules import with_batch_size
from tests.contract import attention_cases
from tests.contract.stand_in_device import NAME, Held, StandInDevice
from torch_impl import _kernels, ops
from torch_impl import learner as learners

DEFORMABLE = ["network.backbone.deformable=[0,0,1,1]", "network.mask_iou=true", "preprocessing.size=256"]
MODELS = [("yolact_tiny", []), ("mask_rcnn_tiny", []), ("pose2seg_tiny", []), ("yolact_tiny", DEFORMABLE)]
Arrays = dict[str, np.ndarray]

each_family = pytest.mark.parametrize(
    ("model", "overrides"), MODELS, ids=["yolact", "mask_rcnn", "pose2seg", "yolact_plus"]
)


@pytest.fixture
def no_kernels(monkeypatch):
    monkeypatch.setattr(kernels, "library", lambda: None)
    monkeypatch.setattr(_kernels, "torchvision_ops", lambda: None)


def made(model: str, overrides: list[str], device: str, monkeypatch) -> tuple[learners.Learner, Arrays, Arrays]:
    """A learner on the device, a batch for training and one for prediction."""
    monkeypatch.setattr(learners.devices, "select", lambda name: name)
    settings = load_settings(model, overrides)
    settings = settings.model_copy(update={"schedule": with_batch_size(settings.schedule, 2)})
    learner = learners.Learner(settings, device, training=True)
    learner.load_weights(make_weights(learner.shapes(), settings, 0))
    return learner, make_batch(settings, 2, 0), make_inputs(settings, 2, 0)


def work(model: str, overrides: list[str], device: str, monkeypatch) -> Arrays:
    """Losses, gradients, two steps of training and detections on a device, by name."""
    learner, batch, inputs = made(model, overrides, device, monkeypatch)
    found = {f"detections {index}": each.boxes for index, each in enumerate(learner.predict(inputs))}
    assert all(len(boxes) > 2 for boxes in found.values())
    losses, gradients = learner.gradients(batch)
    found |= {f"loss {name}": np.array(value) for name, value in losses.items()}
    found |= {f"gradient {name}": value for name, value in gradients.items()}
    learner.train_step(batch, 1e-4)
    learner.load_optimizer_state(learner.optimizer_state())
    learner.train_step(batch, 1e-4)
    return found | learner.weights()


@pytest.mark.slow
@each_family
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


def test_deformable_attention_keeps_to_its_device():
    given = [torch.tensor(array) for array in attention_cases.arrays()]
    expected = ops.ms_deform_attn(given[0], attention_cases.SHAPES, *given[1:])
    with StandInDevice():
        found = ops.ms_deform_attn(given[0].to(NAME), attention_cases.SHAPES, *(x.to(NAME) for x in given[1:]))
        assert isinstance(found, Held)
    torch.testing.assert_close(found.held, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bfloat16", "float16"])
@each_family
def test_a_family_trains_and_predicts_under_autocast(model, overrides, dtype, monkeypatch):
    learner, batch, inputs = made(model, overrides, "cpu", monkeypatch)
    expected, _ = learner.gradients(batch)
    with torch.autocast("cpu", dtype):
        losses, gradients = learner.gradients(batch)
        found = learner.predict(inputs)
    assert all(np.isfinite(value).all() for value in gradients.values())
    assert sum(losses.values()) == pytest.approx(sum(expected.values()), rel=0.05)
    for each in found:
        assert len(each) > 2 and each.boxes.dtype == each.scores.dtype == np.float32 and each.masks.any()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bfloat16", "float16"])
def test_regions_keep_their_places_under_autocast(dtype):
    """Of a slope every sample is its own place: these types hold it to hundredths here, and to whole pixels at 800."""
    slope = torch.arange(900.0).reshape(1, 1, 1, 900).expand(1, 1, 8, 900) - 800
    roi = torch.tensor([[0, 801.3, 1.0, 803.3, 3.0]])
    pooled = ops.roi_align(slope.to(dtype), roi, (1, 1), 1.0, 2, True)
    assert pooled.dtype == dtype
    np.testing.assert_allclose(pooled.float().item(), 1.8, atol=0.02)


@pytest.mark.parametrize("halved", [(0,), (1,), (2,), (0, 2)], ids=["value", "locations", "attention", "both"])
def test_deformable_attention_takes_what_autocast_makes(halved):
    """Some of its arrays in half the bits and others whole: it reads as with all of them whole."""
    given = [torch.tensor(array) for array in attention_cases.arrays()]
    for index in halved:
        given[index] = given[index].bfloat16()
    found = ops.ms_deform_attn(given[0], attention_cases.SHAPES, *given[1:])
    whole = [array.float() for array in given]
    assert found.dtype == given[0].dtype
    expected = ops.ms_deform_attn(whole[0], attention_cases.SHAPES, *whole[1:])
    torch.testing.assert_close(found.float(), expected, rtol=1e-2, atol=1e-2)
