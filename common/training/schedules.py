"""Computes learning rates and the like from the schedule and the step, which is counted from 0."""

import bisect
import math
import re
from collections.abc import Collection

from common.config import Schedule

# Matches canonical names of norms' parameters: in a backbone's stem and blocks, in its shortcuts, and in transformers.
_NORM_PARAMETER = re.compile(r"(^|\.)(bn\d|(\w+_)?norm\d?|\d+\.downsample\.1)\.(weight|bias)$")


def learning_rate(schedule: Schedule, step: int) -> float:
    """Computes the learning rate of update number `step`, counted from 0: rate * warm-up factor * decay factor."""
    counted = step + schedule.first_step
    return schedule.learning_rate * _warmup_factor(schedule, counted) * _decay_factor(schedule, counted)


def rate_and_decay(schedule: Schedule, name: str) -> tuple[float, float]:
    """Returns the factor on the learning rate, and the weight decay, of the parameter of this canonical name."""
    is_bias = name.endswith("bias")
    is_decayed = (schedule.bias_decay or not is_bias) and (schedule.norm_decay or not _NORM_PARAMETER.search(name))
    is_decayed &= not any(part in name for part in schedule.undecayed)
    rate = schedule.bias_rate if is_bias else 1.0
    rate *= schedule.backbone_rate if name.startswith("backbone.") else 1.0
    return rate, schedule.weight_decay if is_decayed else 0.0


def is_evaluated(schedule: Schedule, step: int, images: int) -> bool:
    """Tells whether the weights are evaluated after `step` updates, with `images` in an epoch.

    At the run's end they always are. An epoch ends with the update that sees the last of its images.
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


def _warmup_factor(schedule: Schedule, step: int) -> float:
    """Computes the warm-up's factor: s + (1 - s) step / warmup_iterations, or constantly s, then 1; s is its start."""
    if step >= schedule.warmup_iterations:
        return 1.0
    start = schedule.warmup_start
    if schedule.warmup_rate is not None:
        start = schedule.warmup_rate / schedule.learning_rate
    done = 0.0 if schedule.warmup == "constant" else step / schedule.warmup_iterations
    return start * (1.0 - done) + done


def _decay_factor(schedule: Schedule, step: int) -> float:
    """Computes the decay's factor: gamma for each of the `steps` passed, or 0.5 (1 + cos(pi s)).

    s is the share that is passed of the cosine's steps, from 0 to 1.
    """
    if schedule.decay == "cosine":
        length = schedule.cosine_iterations or schedule.iterations
        share = min(max(step - schedule.cosine_start, 0) / length, 1.0)
        return 0.5 * (1.0 + math.cos(math.pi * share))
    # Update s itself already has the rate after step s.
    return schedule.gamma ** bisect.bisect_right(sorted(schedule.steps), step)


def with_batch_size(schedule: Schedule, batch_size: int, given: Collection[str] = ()) -> Schedule:
    """Returns the schedule for another batch size.

    With `autoscale` the learning rate is multiplied by the ratio of the batch sizes, and the iterations and steps are
    divided by it, so that as many images are seen. Fields in `given`, which the user has set, stay as they are, and so
    does the warm-up's length.
    """
    changed = {"batch_size": batch_size}
    if schedule.autoscale:
        changed |= {
            "learning_rate": schedule.learning_rate * batch_size / schedule.batch_size,
            "iterations": schedule.iterations * schedule.batch_size // batch_size,
            "steps": tuple(step * schedule.batch_size // batch_size for step in schedule.steps),
        }
    return schedule.model_copy(update={name: value for name, value in changed.items() if name not in given})
