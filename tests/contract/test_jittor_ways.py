"""What Jittor keeps between training steps."""

import jittor as jt
import numpy as np

from common.config import Schedule
from jittor_impl._optimizers import Optimizer
from jittor_impl.layers import DeformConv


def test_a_deformable_layers_steps_leave_nothing_behind(xp):
    layer = DeformConv(3, 3)
    schedule = Schedule(batch_size=1, iterations=1, learning_rate=0.1)
    optimizer = Optimizer(dict(layer.named_parameters()), schedule)
    images = jt.array(np.random.default_rng(0).normal(size=(1, 3, 8, 8)).astype(np.float32))
    alive = []
    for _ in range(3):
        gradients = jt.grad(layer(images).sum(), list(optimizer.parameters.values()))
        optimizer.step(gradients, 0.1)
        del gradients
        alive.append(jt.liveness_info()["lived_vars"])
    assert alive[0] == alive[1] == alive[2]
