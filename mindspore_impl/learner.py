"""One model in MindSpore as the commands and the trainer drive it: NumPy arrays in, NumPy arrays out."""

import importlib
import math
from contextlib import nullcontext

import mindspore as ms
import numpy as np
from mindspore import Tensor
from mindspore import ops as F

from common.array import namespace
from common.config import Schedule, Settings
from common.errors import UserError
from common.families import family_of
from common.norm_names import canonical
from common.observing import Observer, Unobserved
from common.results import Result
from common.training.batches import stays_on_host
from common.training.choices import Choose, choose_own
from common.weights import check_fit
from mindspore_impl import device as devices
from mindspore_impl import distributed
from mindspore_impl._optimizers import Optimizer, squares
from mindspore_impl.layers import unfolded
from mindspore_impl.observing import observed


class Learner:
    """A model's network and optimizer on a device.

    dtype: the precision of all that is computed, which is float32 here; float64 is refused.
    """

    framework = "mindspore"

    def __init__(self, settings: Settings, device: str = "auto", training: bool = False, dtype: str = "float32"):
        if dtype != "float32":
            raise UserError(
                f"{dtype}: this project's networks in MindSpore compute in float32; PyTorch's do in float64, too"
            )
        self.settings = settings
        self.dtype = dtype
        self._family = family_of(settings)
        self._device = devices.select(device)
        self.rank, self.world = distributed.start()
        self.device = str(self._device)
        per_device = settings.schedule.batch_size // self.world
        frozen_norm = not training or settings.network.freezes_norm(per_device)
        self.network = _network_class(settings.family, self._family.network)(settings, frozen_norm)
        self.network.set_train(training)
        self._state = {canonical(name): value for name, value in self.network.parameters_dict().items()}
        self._trainable = {name: value for name, value in self._state.items() if value.requires_grad}
        statistics = [value for name, value in self._state.items() if ".running_" in name]
        self._statistics = [] if frozen_norm else statistics
        self._optimizer = Optimizer(self._trainable, settings.schedule) if training else None

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of every parameter and statistic by its canonical name."""
        return {name: tuple(value.shape) for name, value in self._state.items()}

    def trainable(self) -> list[str]:
        """The names of what the optimizer moves."""
        return list(self._trainable)

    def weights(self) -> dict[str, np.ndarray]:
        return {name: value.asnumpy().copy() for name, value in self._state.items()}

    def load_weights(self, weights: dict[str, np.ndarray]) -> None:
        check_fit(weights, self.shapes(), "weights")
        for name, value in self._state.items():
            F.assign(value, Tensor(weights[name]))

    def optimizer_state(self) -> dict[str, np.ndarray]:
        """Returns the optimizer's memory, each array under the name `QUANTITY/PARAMETER`."""
        return self._optimizer.state()

    def load_optimizer_state(self, state: dict[str, np.ndarray]) -> None:
        self._optimizer.load_state(state)

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
        before = [statistic.asnumpy().copy() for statistic in self._statistics]
        losses, computed = self._backward(batch, choose)
        if gradients is not None:
            gradients |= self._by_name(computed)
        norms = np.sqrt(squares(computed))
        norm = math.hypot(*norms)
        if not math.isfinite(norm):
            losses["gradient"] = norm
        if not all(map(math.isfinite, losses.values())):
            for statistic, value in zip(self._statistics, before, strict=True):
                F.assign(statistic, Tensor(value))
            return losses
        self._optimizer.step(computed, _clipping(norms, norm, self.settings.schedule), learning_rate)
        return losses

    def gradients(
        self, batch: dict[str, np.ndarray], choose: Choose = choose_own
    ) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        """The losses, and the gradient of their sum by parameter name; nothing is updated.

        choose: as in `train_step`.
        """
        losses, gradients = self._backward(batch, choose)
        return losses, self._by_name(gradients)

    def _by_name(self, gradients: tuple[Tensor, ...]) -> dict[str, np.ndarray]:
        return {name: gradient.asnumpy().copy() for name, gradient in zip(self._trainable, gradients, strict=True)}

    def sum_over_ranks(self, array: np.ndarray) -> np.ndarray:
        """An array (N,) float32 of each rank, summed over all of them."""
        if self.world == 1:
            return array
        return distributed.sum_over_ranks([Tensor(array)])[0].asnumpy().copy()

    def predict(self, inputs: dict[str, np.ndarray], score_threshold: float = 0.0) -> list[Result]:
        """A batch for prediction, as `common.data.samples` has it -> what is in each image, in its own pixels."""
        self.network.set_train(False)
        return self._family.predict(self.network, Tensor(inputs["image"]), inputs, score_threshold)

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
        self.network.set_train(False)
        running = nullcontext() if as_used else unfolded()
        with running, observed(self.network, observer or Unobserved()):
            stages = self._family.stages(self.network, Tensor(inputs["image"]), inputs)
            outputs = {name: namespace(value).to_numpy(value) for name, value in stages.items()}
        if gradients:
            losses, by_name = self.gradients(inputs)
            outputs |= {f"loss.{name}": np.float32(value) for name, value in losses.items()}
            outputs |= {f"grad.{name}": value for name, value in by_name.items()}
        return outputs

    def _backward(self, batch: dict[str, np.ndarray], choose: Choose) -> tuple[dict[str, float], tuple[Tensor, ...]]:
        self.network.set_train()
        arrays = {name: value if stays_on_host(name) else Tensor(np.asarray(value)) for name, value in batch.items()}
        normalisers = [name for name in arrays if name.startswith("normaliser.")]
        totals = distributed.sum_over_ranks([arrays[name] for name in normalisers])
        arrays |= dict(zip(normalisers, totals, strict=True))

        def total_and_terms(arrays: dict) -> tuple[Tensor, dict[str, Tensor]]:
            terms = self._family.losses(self.network, arrays, choose, self.sum_over_ranks)
            return F.stack(list(terms.values())).sum(), terms

        differentiated = ms.value_and_grad(total_and_terms, None, list(self._trainable.values()), has_aux=True)
        # Given as an argument: the gradient of a convolution of a captured array takes six times as long.
        (_, losses), gradients = differentiated(arrays)
        gradients = distributed.sum_over_ranks(list(gradients))
        terms = distributed.sum_over_ranks([F.stack(list(losses.values()))])[0]
        return dict(zip(losses, terms.asnumpy().tolist(), strict=True)), tuple(gradients)


def _clipping(norms: np.ndarray, norm: float, schedule: Schedule) -> list[float]:
    """The scales that clip gradients, whose norms (P,) and whose norm as one are given, as the schedule says.

    As in PyTorch 1e-6 keeps it from being exact.
    """
    limit = schedule.clip_norm
    if limit is None:
        return [1.0] * len(norms)
    relevant = [norm] * len(norms) if schedule.clip == "whole" else norms.tolist()
    return [min(limit / (own + 1e-6), 1.0) for own in relevant]


def _network_class(family: str, name: str) -> type:
    """The class of a family's network, from this wing's file of the family's name."""
    return getattr(importlib.import_module(f"mindspore_impl.{family}"), name)
