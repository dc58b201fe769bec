"""SGD, Adam and AdamW with PyTorch's arithmetic; Jittor's own differ from it in places (the eps of Adam for one)."""

import jittor as jt
import numpy as np
from jittor import Var

from common.config import Schedule
from common.training.schedules import rate_and_decay


class Optimizer:
    """Moves the named parameters; `memory` holds what it remembers as QUANTITY/PARAMETER, in PyTorch's words."""

    def __init__(self, parameters: dict[str, Var], schedule: Schedule):
        self.parameters, self.schedule = parameters, schedule
        quantities = ("momentum_buffer",) if schedule.optimizer == "sgd" else ("exp_avg", "exp_avg_sq")
        # A memory of zeros is what PyTorch's first step, which has none, amounts to.
        self.memory = {
            f"{quantity}/{name}": jt.array(np.zeros(parameter.shape, np.float32))
            for quantity in quantities
            for name, parameter in parameters.items()
        }
        self.steps = 0

    def step(self, gradients: list[Var], learning_rate: float) -> None:
        self.steps += 1
        update = self._sgd if self.schedule.optimizer == "sgd" else self._adam
        # By itself and in one dimension an update is the same few kernels whatever the gradient comes from.
        jt.sync(gradients)
        # A deformable layer's gradients hold on to the step's graph, and the parameters would to them.
        gradients = [gradient.detach() for gradient in gradients]
        for (name, parameter), gradient in zip(self.parameters.items(), gradients, strict=True):
            rate, decay = rate_and_decay(self.schedule, name)
            moved = update(name, parameter.reshape((-1,)), gradient.reshape((-1,)), learning_rate * rate, decay)
            parameter.update(moved.reshape(parameter.shape))
        # Runs what is waiting; the graph of all steps would be kept otherwise.
        jt.sync([*self.parameters.values(), *self.memory.values()])

    def state(self) -> dict[str, np.ndarray]:
        state = {key: value.numpy() for key, value in self.memory.items()}
        if self.schedule.optimizer != "sgd" and self.steps:
            state |= {f"step/{name}": np.float32(self.steps) for name in self.parameters}
        return state

    def load_state(self, state: dict[str, np.ndarray]) -> None:
        steps = {int(value) for key, value in state.items() if key.startswith("step/")}
        self.steps = max(steps, default=0)
        for key, value in self.memory.items():
            value.update(jt.array(state[key]))

    def _sgd(self, name: str, parameter: Var, gradient: Var, learning_rate: float, decay: float) -> Var:
        gradient = gradient + decay * parameter
        memory = self._remember(f"momentum_buffer/{name}", self.schedule.momentum, gradient)
        return parameter - learning_rate * memory

    def _adam(self, name: str, parameter: Var, gradient: Var, learning_rate: float, decay: float) -> Var:
        eps = 1e-8
        if self.schedule.optimizer == "adamw":
            parameter = parameter * (1 - learning_rate * decay)
        else:
            gradient = gradient + decay * parameter
        mean = self._remember(f"exp_avg/{name}", 0.9, 0.1 * gradient)
        square = self._remember(f"exp_avg_sq/{name}", 0.999, 0.001 * gradient * gradient)
        root = jt.sqrt(square) / (1 - 0.999**self.steps) ** 0.5 + eps
        return parameter - learning_rate / (1 - 0.9**self.steps) * mean / root

    def _remember(self, key: str, share: float, addend: Var) -> Var:
        memory = self.memory[key]
        now = share * memory.reshape((-1,)) + addend
        memory.update(now.reshape(memory.shape))
        return now
