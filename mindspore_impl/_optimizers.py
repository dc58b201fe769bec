"""SGD, Adam and AdamW with PyTorch's arithmetic.

MindSpore's own compile a graph over all parameters, for seconds; its kernels for a parameter are used by themselves.
They are given numbers as tensors: for each number that it has not met MindSpore prepares, and keeps, a kernel.
"""

from collections.abc import Sequence

import numpy as np
from mindspore import Parameter, Tensor
from mindspore import ops as F

from common.config import Schedule
from common.training.schedules import rate_and_decay

_BETAS, _EPSILON = (0.9, 0.999), 1e-8
_apply_momentum = F.ApplyMomentum()
_apply_adam = F.Adam()


class Optimizer:
    """Moves the named parameters; `memory` holds what it remembers as QUANTITY/PARAMETER, in PyTorch's words."""

    def __init__(self, parameters: dict[str, Parameter], schedule: Schedule):
        self.parameters, self.schedule = parameters, schedule
        self._quantities = ("momentum_buffer",) if schedule.optimizer == "sgd" else ("exp_avg", "exp_avg_sq")
        self.memory = {
            f"{quantity}/{name}": Parameter(F.zeros_like(parameter), requires_grad=False)
            for quantity in self._quantities
            for name, parameter in parameters.items()
        }
        self.steps = 0

    def step(self, gradients: Sequence[Tensor], learning_rate: float) -> None:
        self.steps += 1
        update = self._sgd if self.schedule.optimizer == "sgd" else self._adam
        numbers = self._numbers()
        rates: dict[float, Tensor] = {}
        for (name, parameter), gradient in zip(self.parameters.items(), gradients, strict=True):
            memory = [self.memory[f"{quantity}/{name}"] for quantity in self._quantities]
            factor, decay = rate_and_decay(self.schedule, name)
            rate = rates.setdefault(factor, _scalar(learning_rate * factor))
            update(parameter, gradient, rate, decay, *memory, numbers)

    def _numbers(self) -> list[Tensor]:
        """What the kernel is given in a step beside the rate: the momentum, or of Adam the betas and the like."""
        if self.schedule.optimizer == "sgd":
            return [_scalar(self.schedule.momentum)]
        # The kernel takes the powers of the betas, and adds its epsilon before the second moment is corrected.
        powers = [beta**self.steps for beta in _BETAS]
        return [_scalar(number) for number in (*powers, *_BETAS, _EPSILON * (1 - powers[1]) ** 0.5)]

    def state(self) -> dict[str, np.ndarray]:
        state = {key: value.asnumpy().copy() for key, value in self.memory.items()}
        if self.schedule.optimizer != "sgd" and self.steps:
            state |= {f"step/{name}": np.float32(self.steps) for name in self.parameters}
        return state

    def load_state(self, state: dict[str, np.ndarray]) -> None:
        steps = {int(value) for key, value in state.items() if key.startswith("step/")}
        self.steps = max(steps, default=0)
        for key, value in self.memory.items():
            F.assign(value, Tensor(state[key]))

    def _sgd(
        self,
        parameter: Parameter,
        gradient: Tensor,
        rate: Tensor,
        decay: float,
        buffer: Parameter,
        numbers: list[Tensor],
    ) -> None:
        if decay:
            gradient = gradient + decay * parameter
        _apply_momentum(parameter, buffer, rate, gradient, *numbers)

    def _adam(
        self,
        parameter: Parameter,
        gradient: Tensor,
        rate: Tensor,
        decay: float,
        mean: Parameter,
        square: Parameter,
        numbers: list[Tensor],
    ) -> None:
        if decay and self.schedule.optimizer == "adamw":
            F.assign(parameter, parameter * (1 - rate * decay))
        elif decay:
            gradient = gradient + decay * parameter
        *powers, first, second, epsilon = numbers
        _apply_adam(parameter, mean, square, *powers, rate, first, second, epsilon, gradient)


def _scalar(number: float) -> Tensor:
    return Tensor(np.float32(number))
