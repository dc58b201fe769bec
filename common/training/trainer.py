"""The training loop, one for the three frameworks: it drives a wing's Learner and owns everything around the step."""

import math
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from common import weights as weight_files
from common.config import Settings
from common.errors import UserError
from common.training import checkpoints
from common.training.logs import Progress, RunLog
from common.training.ranks import gathered, on_any_rank
from common.training.schedules import is_evaluated, learning_rate

# A resumed run may go on longer, log and save otherwise; anything else would make it another run.
FREE_TO_CHANGE = {
    f"schedule.{key}"
    for key in (
        "iterations",
        "evaluate_every",
        "evaluate_epochs",
        "checkpoint_every",
        "checkpoints_kept",
        "keep_every",
        "log_every",
        "nonfinite_losses",
    )
}


class NonFiniteLoss(UserError):
    """A loss became infinite or not a number."""


def check_output(output: Path, is_resumed: bool) -> None:
    """Neither way of starting is guessed: a run is continued only on request, and needs one to continue."""
    found = checkpoints.existing(output / checkpoints.FOLDER)
    if found and not is_resumed:
        raise UserError(f"{output} already holds a run: continue it with --resume or name another --output")
    if is_resumed and not found:
        raise UserError(f"nothing to resume: no checkpoint in {output / checkpoints.FOLDER}")


@dataclass
class Trainer:
    """One run in the folder `output`: `begin` or `resume` it, then `run` it over the loader's batches.

    learner: a wing's Learner, made for training. data: what tells these training data from others, for resuming, with
    the number of their `images`. card: the facts of the weights to come; a resumed run takes those that it began with
    from its checkpoint. evaluate: the figures of the weights as they are, by name, when the schedule says so and at the
    end; every rank calls it, and what it returns counts on the first.

    A step whose loss is not finite changes no weights. Where there are `schedule.nonfinite_losses` of them in a row the
    run stops; those before are left out and counted.

    log_folder: where the log goes, if not into `output`; `logs`: whether one is written.
    """

    learner: Any
    settings: Settings
    seed: int
    output: Path
    card: weight_files.Card | None
    data: dict[str, Any]
    evaluate: Callable[[], dict[str, float]] | None = None
    log_folder: Path | None = None
    logs: bool = True
    step: int = 0
    left_out: int = 0  # updates in a row, up to this step

    @property
    def folder(self) -> Path:
        return self.output / checkpoints.FOLDER

    def begin(self, weights: dict[str, np.ndarray], step: int = 0) -> None:
        """Starts afresh; a folder that already holds a run is refused."""
        check_output(self.output, is_resumed=False)
        self.learner.load_weights(weights)
        self.step = step

    def resume(self) -> None:
        """Takes up the last checkpoint of this folder."""
        check_output(self.output, is_resumed=True)
        last = checkpoints.existing(self.folder)[-1]
        checkpoint = checkpoints.read(last)
        self._check_same_run(checkpoint.state, last)
        self.learner.load_weights(checkpoint.weights)
        self.learner.load_optimizer_state(checkpoint.optimizer)
        self.card, self.step, self.left_out = checkpoint.card, checkpoint.state.step, checkpoint.state.left_out

    def run(self, batches: Iterable[tuple[int, dict[str, np.ndarray]]]) -> None:
        """Trains to the schedule's end. `batches` starts at `self.step` and has no end of its own."""
        is_first = self.learner.rank == 0
        iterations = self.settings.schedule.iterations
        if is_first:
            checkpoints.clear_remains(self.folder)
        log = RunLog((self.log_folder or self.output) if self.logs else None, self.step) if is_first else None
        progress = Progress(iterations, self.step, silent=not is_first)
        try:
            self._evaluate_if_due(log, progress)
            with _stop_requests() as stop:
                self._steps(iter(batches), log, progress, stop)
        finally:
            progress.close()
            if log:
                log.close()

    def _steps(self, batches: Iterator, log: RunLog | None, progress: Progress, stop: list[int]) -> None:
        schedule = self.settings.schedule
        while self.step < schedule.iterations:
            began = time.perf_counter()
            step, batch = next(batches)
            if step != self.step:
                raise RuntimeError(f"the loader gave the batch of step {step} at step {self.step}")
            waited = time.perf_counter() - began
            rate = learning_rate(schedule, step)
            losses = self.learner.train_step(batch, rate)
            is_finite = self._is_finite(losses, batch, log, progress)
            self.step += 1
            progress.step(losses, rate)
            is_last = self.step == schedule.iterations
            if log and is_finite and (step % schedule.log_every == 0 or is_last):
                log.training(step, rate, losses, seconds=time.perf_counter() - began, data_seconds=waited)
            # A request reaches one rank alone, or each at another step.
            stops = on_any_rank(self.learner, bool(stop))
            if self.step % schedule.checkpoint_every == 0 or is_last or stops:
                self._save(is_last)
            if stops:
                on_any_rank(self.learner, False)  # the others wait for the first, which has to save
                progress.say(f"stopped after step {self.step}; continue with --resume")
                raise KeyboardInterrupt
            self._evaluate_if_due(log, progress)

    def _is_finite(
        self, losses: dict[str, float], batch: dict[str, np.ndarray], log: RunLog | None, progress: Progress
    ) -> bool:
        """Whether the step's update was made; every rank has the same losses. Stops the run at one too many."""
        if all(math.isfinite(value) for value in losses.values()):
            self.left_out = 0
            return True
        self.left_out += 1
        terms = ", ".join(f"{name} {value:g}" for name, value in losses.items())
        images = [image for part in gathered(self.learner, np.array(batch["image_id"]).tolist()) for image in part]
        line = f"the loss at step {self.step} is not finite ({terms}); image ids {', '.join(map(str, images))}"
        patience = self.settings.schedule.nonfinite_losses
        if self.left_out >= patience:
            last = checkpoints.existing(self.folder)
            good = f"the last checkpoint before it is {last[-1]}" if last else "there is no checkpoint before it"
            row = f"; {self.left_out} of them in a row" if patience > 1 else ""
            raise NonFiniteLoss(f"{line}{row}; {good}")
        if log:
            log.left_out(self.step, losses, images)
            progress.say(f"left out: {line}; {log.count_left_out} left out so far")
        return False

    def _save(self, is_last: bool) -> None:
        if self.learner.rank != 0:
            return
        weights = self.learner.weights()
        card = self.card.model_copy(update={"iteration": self.step})
        state = checkpoints.RunState(
            self.step,
            self.seed,
            self.learner.framework,
            self.settings.model_dump(mode="json"),
            self.data,
            self.left_out,
        )
        checkpoint = checkpoints.Checkpoint(state, weights, card, self.learner.optimizer_state())
        schedule = self.settings.schedule
        checkpoints.write(self.folder, checkpoint, schedule.checkpoints_kept, schedule.keep_every)
        if is_last:
            weight_files.save(self.output / checkpoints.WEIGHTS, weights, card)

    def _evaluate_if_due(self, log: RunLog | None, progress: Progress) -> None:
        """After the checkpoint of its step; a run killed between the two does it on resuming."""
        if self.evaluate is None or not is_evaluated(self.settings.schedule, self.step, self.data["images"]):
            return
        # The first rank alone has the log; all of them evaluate together.
        if not on_any_rank(self.learner, log is not None and not log.has_evaluation(self.step)):
            return
        figures = self.evaluate()
        if log is None:
            return
        log.evaluation(self.step, figures)
        for name, value in figures.items():
            progress.say(f"step {self.step}: {name} {value:.1f}")

    def _check_same_run(self, state: checkpoints.RunState, path: Path) -> None:
        if state.framework != self.learner.framework:
            raise UserError(f"{path} was written by {state.framework}, this is {self.learner.framework}")
        now = {"seed": self.seed, "data": self.data, **self.settings.model_dump(mode="json")}
        then = {"seed": state.seed, "data": state.data, **state.settings}
        for key, before, after in _differences(then, now):
            if key not in FREE_TO_CHANGE:
                raise UserError(f"{path} was written with {key} = {before}, this run has {after}")
        if state.step > self.settings.schedule.iterations:
            raise UserError(f"{path} is beyond this run's {self.settings.schedule.iterations} iterations")


def _differences(before: Any, after: Any, key: str = "") -> Iterator[tuple[str, Any, Any]]:
    """The leaves in which two nested dictionaries differ, as (dotted key, before, after)."""
    if isinstance(before, dict) and isinstance(after, dict):
        for name in before | after:
            yield from _differences(before.get(name), after.get(name), f"{key}.{name}" if key else name)
    elif before != after:
        yield key, before, after


@contextmanager
def _stop_requests() -> Iterator[list[int]]:
    """Collects Ctrl-C and termination, so that the step at hand is finished and saved before the run stops.

    A second request stops at once.
    """
    received: list[int] = []

    def receive(number: int, _frame: Any) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)

    previous = {number: signal.signal(number, receive) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
