"""Learning rates as pure functions of the step, counted from 0."""

import bisect
import math
import re
from collections.abc import Collection

from common.config import Schedule

# The parameters of norms by their canonical names: in a backbone's stem and blocks, and beside a shortcut.
_OF_A_NORM = re.compile(r"(^|\.)(bn\d|norm|\d+\.downsample\.1)\.(weight|bias)$")


def learning_rate(schedule: Schedule, step: int) -> float:
    """The rate that update number `step`, counted from 0, takes."""
    counted = step + schedule.first_step
    return schedule.learning_rate * _warmup(schedule, counted) * _decay(schedule, counted)


def rate_and_decay(schedule: Schedule, name: str) -> tuple[float, float]:
    """The factor on the rate, and the weight decay, of a parameter by its canonical name."""
    is_bias = name.endswith("bias")
    is_decayed = (schedule.bias_decay or not is_bias) and (schedule.norm_decay or not _OF_A_NORM.search(name))
    return schedule.bias_rate if is_bias else 1.0, schedule.weight_decay if is_decayed else 0.0


def is_evaluated(schedule: Schedule, step: int, images: int) -> bool:
    """Whether the weights are rated after `step` updates, with `images` in an epoch; the run's end is always rated.

    An epoch is over with the update that sees the last of its images.
    """
    if step == schedule.iterations:
        return True
    if step == 0:
        return False
    if schedule.evaluate_every:
        return step % schedule.evaluate_every == 0
    if schedule.evaluate_epochs == 0:
        return False
    period = schedule.evaluate_epochs * images
    return step * schedule.batch_size // period > (step - 1) * schedule.batch_size // period


def _warmup(schedule: Schedule, step: int) -> float:
    """From the share that step 0 has of the rate to 1 at step `warmup_iterations`, in a line or at once."""
    if step >= schedule.warmup_iterations:
        return 1.0
    start = schedule.warmup_start
    if schedule.warmup_rate is not None:
        start = schedule.warmup_rate / schedule.learning_rate
    done = 0.0 if schedule.warmup == "constant" else step / schedule.warmup_iterations
    return start * (1.0 - done) + done


def _decay(schedule: Schedule, step: int) -> float:
    if schedule.decay == "cosine":
        return 0.5 * (1.0 + math.cos(math.pi * min(step / schedule.iterations, 1.0)))
    # A step given as s already counts for update s.
    return schedule.gamma ** bisect.bisect_right(sorted(schedule.steps), step)


def with_batch_size(schedule: Schedule, batch_size: int, given: Collection[str] = ()) -> Schedule:
    """The schedule for another batch size; scaled, where it says so, to see as many images at as high a rate an image.

    What the user has given, by its name in `given`, stays as it is, and so does the warm-up's length.
    """
    changed = {"batch_size": batch_size}
    if schedule.autoscale:
        changed |= {
            "learning_rate": schedule.learning_rate * batch_size / schedule.batch_size,
            "iterations": schedule.iterations * schedule.batch_size // batch_size,
            "steps": tuple(step * schedule.batch_size // batch_size for step in schedule.steps),
        }
    return schedule.model_copy(update={name: value for name, value in changed.items() if name not in given})
