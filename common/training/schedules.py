"""Learning rates as pure functions of the step, counted from 0."""

import bisect
import math

from common.config import Schedule


def learning_rate(schedule: Schedule, step: int) -> float:
    """The rate that update number `step` takes."""
    return schedule.learning_rate * _warmup(schedule, step) * _decay(schedule, step)


def rate_and_decay(schedule: Schedule, name: str) -> tuple[float, float]:
    """The factor on the rate, and the weight decay, of a parameter by its canonical name."""
    if not name.endswith("bias"):
        return 1.0, schedule.weight_decay
    return schedule.bias_rate, schedule.weight_decay if schedule.bias_decay else 0.0


def _warmup(schedule: Schedule, step: int) -> float:
    """From `warmup_start` at step 0 to 1 at step `warmup_iterations`, in a line or at once."""
    if step >= schedule.warmup_iterations:
        return 1.0
    done = 0.0 if schedule.warmup == "constant" else step / schedule.warmup_iterations
    return schedule.warmup_start * (1.0 - done) + done


def _decay(schedule: Schedule, step: int) -> float:
    if schedule.decay == "cosine":
        return 0.5 * (1.0 + math.cos(math.pi * min(step / schedule.iterations, 1.0)))
    # A step given as s already counts for update s.
    return schedule.gamma ** bisect.bisect_right(sorted(schedule.steps), step)


def with_batch_size(schedule: Schedule, batch_size: int) -> Schedule:
    """The schedule for another batch size; scaled, where it says so, to see as many images at as high a rate an image.

    The warm-up keeps its length and the rate that it starts from.
    """
    if not schedule.autoscale or batch_size == schedule.batch_size:
        return schedule.model_copy(update={"batch_size": batch_size})
    return schedule.model_copy(
        update={
            "batch_size": batch_size,
            "learning_rate": schedule.learning_rate * batch_size / schedule.batch_size,
            "warmup_start": schedule.warmup_start * schedule.batch_size / batch_size,
            "iterations": schedule.iterations * schedule.batch_size // batch_size,
            "steps": tuple(step * schedule.batch_size // batch_size for step in schedule.steps),
        }
    )
