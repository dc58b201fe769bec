"""SGD, Adam and AdamW with PyTorch's arithmetic.

MindSpore's own compile a graph over all parameters, for seconds, and its Adam adds its epsilon elsewhere.
"""

import numpy as np
from mindspore import Parameter, Tensor
from mindspore import ops as F

from common.config import Schedule

_BETAS, _EPSILON = (0.9, 0.999), 1e-8
_apply_momentum = F.ApplyMomentum()


class Optimizer:
    """Moves parameters, given by name; what it remembers of each stands in `memory` under `QUANTITY/NAME`."""

    def __init__(self, schedule: Schedule, parameters: dict[str, Parameter]):
        self._schedule, self._parameters = schedule, parameters
        self._quantities = ("momentum_buffer",) if schedule.optimizer == "sgd" else ("exp_avg", "exp_avg_sq")
        self.steps = 0
        self.memory = {
            f"{quantity}/{name}": Parameter(F.zeros_like(parameter), requires_grad=False)
            for quantity in self._quantities
            for name, parameter in parameters.items()
        }

    def step(self, gradients: dict[str, Tensor], rate: float) -> None:
        self.steps += 1
        for name, parameter in self._parameters.items():
            memory = [self.memory[f"{quantity}/{name}"] for quantity in self._quantities]
            if self._schedule.optimizer == "sgd":
                self._sgd(parameter, gradients[name], rate, *memory)
            else:
                self._adam(parameter, gradients[name], rate, *memory)

    def state(self) -> dict[str, np.ndarray]:
        return {key: value.asnumpy().copy() for key, value in self.memory.items()} | {"steps": np.int64(self.steps)}

    def load_state(self, state: dict[str, np.ndarray]) -> None:
        self.steps = int(state["steps"])
        for key, value in self.memory.items():
            F.assign(value, Tensor(state[key]))

    def _sgd(self, parameter: Parameter, gradient: Tensor, rate: float, buffer: Parameter) -> None:
        if self._schedule.weight_decay:
            gradient = gradient + self._schedule.weight_decay * parameter
        _apply_momentum(parameter, buffer, rate, gradient, self._schedule.momentum)

    def _adam(self, parameter: Parameter, gradient: Tensor, rate: float, mean: Parameter, square: Parameter) -> None:
        decay = self._schedule.weight_decay
        if decay and self._schedule.optimizer == "adamw":
            F.assign(parameter, parameter * (1 - rate * decay))
        elif decay:
            gradient = gradient + decay * parameter
        F.assign(mean, _BETAS[0] * mean + (1 - _BETAS[0]) * gradient)
        F.assign(square, _BETAS[1] * square + (1 - _BETAS[1]) * F.square(gradient))
        corrections = [1 - beta**self.steps for beta in _BETAS]
        spread = F.sqrt(square) / corrections[1] ** 0.5 + _EPSILON
        F.assign_sub(parameter, rate / corrections[0] * mean / spread)
