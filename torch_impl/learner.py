"""One model in PyTorch as the commands and the trainer drive it: NumPy arrays in, NumPy arrays out."""

import importlib
import math
from contextlib import nullcontext

import numpy as np
import torch
from torch import Tensor, nn

from common.array import namespace
from common.config import Schedule, Settings
from common.families import family_of
from common.observing import Observer, Unobserved
from common.results import Result
from common.training.batches import stays_on_host
from common.training.choices import Choose, choose_own
from common.training.schedules import rate_and_decay
from common.weights import check_fit
from torch_impl import device as devices
from torch_impl import distributed
from torch_impl.layers import unfolded
from torch_impl.observing import observed


class Learner:
    """A model's network and optimizer on a device.

    dtype: the precision of parameters, inputs and all that is computed from them: float32, or float64 as a reference.
    """

    framework = "torch"

    def __init__(self, settings: Settings, device: str = "auto", training: bool = False, dtype: str = "float32"):
        self.settings = settings
        self.dtype = dtype
        self._family = family_of(settings)
        self.rank, self.world = distributed.start()
        self._device = devices.select(device)
        self.device = str(self._device)
        per_device = settings.schedule.batch_size // self.world
        frozen_norm = not training or settings.network.freezes_norm(per_device)
        network = _network_class(settings.family, self._family.network)(settings, frozen_norm)
        self._layout = _choose_layout(self._device, training)
        self.network = network.to(self._device, getattr(torch, dtype), memory_format=self._layout)
        self.network.train(training)
        self._state = dict(self.network.named_parameters()) | dict(self.network.named_buffers())
        self._trainable = {name: p for name, p in self.network.named_parameters() if p.requires_grad}
        self._statistics = [] if frozen_norm else list(self.network.buffers())
        self._optimizer = _optimizer(settings.schedule, self._trainable) if training else None

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of every parameter and statistic by its canonical name."""
        return {name: tuple(value.shape) for name, value in self._state.items()}

    def trainable(self) -> list[str]:
        """The names of what the optimizer moves."""
        return list(self._trainable)

    def weights(self) -> dict[str, np.ndarray]:
        return {name: value.detach().cpu().numpy().copy() for name, value in self._state.items()}

    def load_weights(self, weights: dict[str, np.ndarray]) -> None:
        check_fit(weights, self.shapes(), "weights")
        with torch.no_grad():
            for name, value in self._state.items():
                value.copy_(torch.from_numpy(np.ascontiguousarray(weights[name])))

    def optimizer_state(self) -> dict[str, np.ndarray]:
        """Returns the optimizer's memory, each array under the name `QUANTITY/PARAMETER`."""
        names = {id(parameter): name for name, parameter in self._trainable.items()}
        return {
            f"{quantity}/{names[id(parameter)]}": value.detach().cpu().numpy().copy()
            for parameter, memory in self._optimizer.state.items()
            for quantity, value in memory.items()
            if value is not None
        }

    def load_optimizer_state(self, state: dict[str, np.ndarray]) -> None:
        self._optimizer.state.clear()
        for key, value in state.items():
            quantity, name = key.split("/", 1)
            parameter = self._trainable[name]
            memory = torch.from_numpy(np.array(value))
            if memory.shape == parameter.shape:
                memory = memory.to(self._device, memory_format=torch.preserve_format).clone()
            self._optimizer.state[parameter][quantity] = memory

    def train_step(
        self,
        batch: dict[str, np.ndarray],
        learning_rate: float,
        choose: Choose = choose_own,
        gradients: dict[str, np.ndarray] | None = None,
    ) -> dict[str, float]:
        """One update on this rank's share of a batch; the losses are those of the whole batch.

        choose: says with what the step goes on where it chooses from rounded numbers.
        gradients: receives the gradient of every parameter by its name, before it is clipped.
        Where one of them, or the gradient, is not finite nothing is changed: parameters, statistics and the optimizer's
        memory stay. The gradient stands among the losses then: not every framework's ReLU lets a NaN through to them.
        """
        before = [statistic.clone() for statistic in self._statistics]
        losses = self._backward(batch, choose)
        if gradients is not None:
            gradients |= self._gradients()
        norm = _clip(list(self._trainable.values()), self.settings.schedule)
        if not math.isfinite(norm):
            losses["gradient"] = norm.item()
        if not all(map(math.isfinite, losses.values())):
            for statistic, value in zip(self._statistics, before, strict=True):
                statistic.copy_(value)
            return losses
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate * group["rate"]
        self._optimizer.step()
        return losses

    def gradients(
        self, batch: dict[str, np.ndarray], choose: Choose = choose_own
    ) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        """The losses, and the gradient of their sum by parameter name; nothing is updated.

        choose: as in `train_step`.
        """
        losses = self._backward(batch, choose)
        return losses, self._gradients()

    def _gradients(self) -> dict[str, np.ndarray]:
        return {name: p.grad.detach().cpu().numpy().copy() for name, p in self._trainable.items()}

    def sum_over_ranks(self, array: np.ndarray) -> np.ndarray:
        """An array (N,) float32 of each rank, summed over all of them."""
        if self.world == 1:
            return array
        return distributed.sum_over_ranks([torch.from_numpy(array).to(self._device)])[0].cpu().numpy()

    def predict(self, inputs: dict[str, np.ndarray], score_threshold: float = 0.0) -> list[Result]:
        """A batch for prediction, as `common.data.samples` has it -> what is in each image, in its own pixels."""
        self.network.eval()
        inputs = self._in_own_precision(inputs)
        with torch.inference_mode():
            return self._family.predict(self.network, self._image(inputs["image"]), inputs, score_threshold)

    def trace(
        self,
        inputs: dict[str, np.ndarray],
        observer: Observer | None = None,
        gradients: bool = False,
        as_used: bool = False,
    ) -> dict[str, np.ndarray]:
        """Every named stage on the inputs, with `loss.TERM` and `grad.PARAMETER` on request.

        inputs: `image` (N, 3, H, W) and what else the network's `stages` reads; for gradients the rest of a training
        batch too. Stages are taken in evaluation mode, each module running as itself before the observer's eyes;
        gradients in training mode.
        as_used: the network runs as `predict` runs it, with norms folded and parts compiled; nothing is observed.
        """
        self.network.eval()
        inputs = self._in_own_precision(inputs)
        running = nullcontext() if as_used else unfolded()
        with torch.inference_mode(), running, observed(self.network, observer or Unobserved()):
            stages = self._family.stages(self.network, self._image(inputs["image"]), inputs)
            outputs = {name: namespace(value).to_numpy(value) for name, value in stages.items()}
        if gradients:
            losses, by_name = self.gradients(inputs)
            outputs |= {f"loss.{name}": np.float32(value) for name, value in losses.items()}
            outputs |= {f"grad.{name}": value for name, value in by_name.items()}
        return outputs

    def _in_own_precision(self, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The arrays, those of float32 in the learner's own precision."""
        if self.dtype == "float32":
            return arrays
        return {name: x.astype(self.dtype) if x.dtype == np.float32 else x for name, x in arrays.items()}

    def _image(self, images: np.ndarray) -> Tensor:
        return torch.from_numpy(images).to(self._device, memory_format=self._layout)

    def _backward(self, batch: dict[str, np.ndarray], choose: Choose) -> dict[str, float]:
        self.network.train()
        batch = self._in_own_precision(batch)
        self.network.zero_grad(set_to_none=True)
        arrays = {
            name: value if stays_on_host(name) else torch.from_numpy(np.asarray(value)).to(self._device)
            for name, value in batch.items()
        }
        arrays["image"] = self._image(batch["image"])
        normalisers = [name for name in arrays if name.startswith("normaliser.")]
        totals = distributed.sum_over_ranks([arrays[name] for name in normalisers])
        arrays |= dict(zip(normalisers, totals, strict=True))
        losses = self._family.losses(self.network, arrays, choose, self.sum_over_ranks)
        torch.stack(list(losses.values())).sum().backward()
        for parameter in self._trainable.values():
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        if self.world > 1:
            summed = distributed.sum_over_ranks([p.grad for p in self._trainable.values()])
            for parameter, gradient in zip(self._trainable.values(), summed, strict=True):
                parameter.grad.copy_(gradient)
        terms = distributed.sum_over_ranks([torch.stack(list(losses.values())).detach()])[0]
        return dict(zip(losses, terms.tolist(), strict=True))


def _clip(parameters: list[nn.Parameter], schedule: Schedule) -> Tensor:
    """Clips the parameters' gradients as the schedule says and returns the norm of the whole gradient before."""
    limit = math.inf if schedule.clip_norm is None else schedule.clip_norm
    # With an infinite limit the gradients stay as they are; this way to their norm is in every release of PyTorch.
    norm = nn.utils.clip_grad_norm_(parameters, limit if schedule.clip == "whole" else math.inf)
    if schedule.clip == "each":
        for parameter in parameters:
            nn.utils.clip_grad_norm_([parameter], limit)
    return norm


def _choose_layout(device: str, training: bool) -> torch.memory_format:
    """The layout of maps (N, C, H, W) and kernels that a device computes fastest in.

    With channels last the CPU takes up to six times as long for the gradient of a convolution's weights, and adds a
    batch's statistics up one by one, which rounds a hundred times as much.
    """
    return torch.contiguous_format if training and not device.startswith("cuda") else torch.channels_last


def _network_class(family: str, name: str) -> type:
    """The class of a family's network, from this wing's file of the family's name."""
    return getattr(importlib.import_module(f"torch_impl.{family}"), name)


def _optimizer(schedule: Schedule, parameters: dict[str, nn.Parameter]) -> torch.optim.Optimizer:
    alike: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in parameters.items():
        alike.setdefault(rate_and_decay(schedule, name), []).append(parameter)
    groups = [{"params": members, "rate": rate, "weight_decay": decay} for (rate, decay), members in alike.items()]
    if schedule.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=schedule.learning_rate, momentum=schedule.momentum)
    if schedule.optimizer == "adam":
        return torch.optim.Adam(groups, lr=schedule.learning_rate)
    return torch.optim.AdamW(groups, lr=schedule.learning_rate)
