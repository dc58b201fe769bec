"""SGD, Adam and AdamW with PyTorch's arithmetic, and the gradient's norm.

On the CPU that is this project's own kernel, which reads and writes each array once, where MindSpore's operations go
over them up to eight times. Elsewhere MindSpore's kernels for a parameter are used by themselves: its optimizers
compile a graph over all parameters, for seconds. They are given numbers as tensors: for each number that it has not
met MindSpore prepares, and keeps, a kernel.
"""

from collections.abc import Sequence
from ctypes import CDLL

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor
from mindspore import ops as F

from common import kernels
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

    def step(self, gradients: Sequence[Tensor], scales: Sequence[float], learning_rate: float) -> None:
        """Moves every parameter by its gradient, which is multiplied by its scale first."""
        self.steps += 1
        library = _library()
        numbers = [] if library is not None else self._numbers()
        rates: dict[float, Tensor] = {}
        for (name, parameter), gradient, scale in zip(self.parameters.items(), gradients, scales, strict=True):
            memory = [self.memory[f"{quantity}/{name}"] for quantity in self._quantities]
            factor, decay = rate_and_decay(self.schedule, name)
            rate = learning_rate * factor
            if library is not None:
                self._step_by_kernel(library, [parameter, gradient, *memory], scale, rate, decay)
                continue
            if scale != 1.0:
                gradient = gradient * _scalar(scale)
            update = self._sgd if self.schedule.optimizer == "sgd" else self._adam
            update(parameter, gradient, rates.setdefault(rate, _scalar(rate)), decay, *memory, numbers)

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

    def _step_by_kernel(self, library: CDLL, tensors: list[Tensor], scale: float, rate: float, decay: float) -> None:
        """tensors: the parameter, its gradient and the memory."""
        arrays = [tensor.asnumpy() for tensor in tensors]  # on the CPU the tensors' own memory, written to in place
        if self.schedule.optimizer == "sgd":
            step, rule = library.triseg_sgd_step, [scale, rate, decay, self.schedule.momentum]
        else:
            decoupled = self.schedule.optimizer == "adamw"
            size, square = (1 - beta**self.steps for beta in _BETAS)
            decays = [0.0, rate * decay] if decoupled else [decay, 0.0]
            step, rule = library.triseg_adam_step, [scale, rate, *decays, *_BETAS, size, square**0.5, _EPSILON]
        numbers = np.array(rule, np.float32)
        step(*(array.ctypes.data for array in arrays), arrays[0].size, numbers.ctypes.data)

    def _numbers(self) -> list[Tensor]:
        """What MindSpore's kernel is given in a step beside the rate: the momentum, or Adam's betas and the like."""
        if self.schedule.optimizer == "sgd":
            return [_scalar(self.schedule.momentum)]
        # The kernel takes the powers of the betas, and adds its epsilon before the second moment is corrected.
        powers = [beta**self.steps for beta in _BETAS]
        return [_scalar(number) for number in (*powers, *_BETAS, _EPSILON * (1 - powers[1]) ** 0.5)]

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


def squares(gradients: Sequence[Tensor]) -> np.ndarray:
    """(P,) float64, the sum of the squares of each of P gradients"""
    library = _library()
    if library is None:
        return F.stack([F.square(gradient).sum() for gradient in gradients]).asnumpy().astype(np.float64)
    arrays = [gradient.asnumpy() for gradient in gradients]
    return np.array([library.triseg_sum_of_squares(array.ctypes.data, array.size) for array in arrays])


def _library() -> CDLL | None:
    """The compiled kernels, or None where they cannot take MindSpore's arrays."""
    return kernels.library() if ms.get_context("device_target") == "CPU" else None


def _scalar(number: float) -> Tensor:
    return Tensor(np.float32(number))
