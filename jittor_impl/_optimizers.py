"""SGD, Adam and AdamW with PyTorch's arithmetic; Jittor's own differ from it in places (the eps of Adam for one)."""

import jittor as jt
import numpy as np
from jittor import Var

from common.config import Schedule


class Optimizer:
    """Moves the named parameters; `memory` holds what it remembers as QUANTITY/PARAMETER, in PyTorch's words."""

    def __init__(self, parameters: dict[str, Var], schedule: Schedule):
        self.parameters, self.schedule = parameters, schedule
        self.memory: dict[str, Var] = {}
        self.steps = 0

    def step(self, gradients: list[Var], learning_rate: float) -> None:
        self.steps += 1
        update = self._sgd if self.schedule.optimizer == "sgd" else self._adam
        for (name, parameter), gradient in zip(self.parameters.items(), gradients, strict=True):
            update(name, parameter, gradient, learning_rate)
        # Runs what is waiting: without it the graph of all steps would be kept.
        jt.sync([*self.parameters.values(), *self.memory.values()])

    def state(self) -> dict[str, np.ndarray]:
        state = {key: value.numpy() for key, value in self.memory.items()}
        if self.schedule.optimizer != "sgd" and self.steps:
            state |= {f"step/{name}": np.float32(self.steps) for name in self.parameters}
        return state

    def load_state(self, state: dict[str, np.ndarray]) -> None:
        steps = {int(value) for key, value in state.items() if key.startswith("step/")}
        # SGD's first step differs from the others by its empty memory alone.
        self.steps = steps.pop() if steps else 0
        self.memory = {key: jt.array(value) for key, value in state.items() if not key.startswith("step/")}

    def _sgd(self, name: str, parameter: Var, gradient: Var, learning_rate: float) -> None:
        gradient = gradient + self.schedule.weight_decay * parameter
        if self.schedule.momentum:
            gradient = self._remember(f"momentum_buffer/{name}", self.schedule.momentum, gradient, gradient)
        parameter.update(parameter - learning_rate * gradient)

    def _adam(self, name: str, parameter: Var, gradient: Var, learning_rate: float) -> None:
        decay, eps = self.schedule.weight_decay, 1e-8
        value = parameter
        if self.schedule.optimizer == "adamw":
            value = value * (1 - learning_rate * decay)
        else:
            gradient = gradient + decay * parameter
        mean = self._remember(f"exp_avg/{name}", 0.9, 0.1 * gradient, 0.1 * gradient)
        square = self._remember(f"exp_avg_sq/{name}", 0.999, 0.001 * gradient * gradient, 0.001 * gradient * gradient)
        root = jt.sqrt(square) / (1 - 0.999**self.steps) ** 0.5 + eps
        parameter.update(value - learning_rate / (1 - 0.9**self.steps) * mean / root)

    def _remember(self, key: str, share: float, addend: Var, first: Var) -> Var:
        self.memory[key] = share * self.memory[key] + addend if key in self.memory else first
        return self.memory[key]
