"""The training loop of all three frameworks: drives a wing's Learner, and logs, saves and evaluates between steps."""

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
from common.training.ranks import gather_values, on_any_rank
from common.training.schedules import is_evaluated, learning_rate

# A resumed run may train longer, and log, evaluate and save at other times; anything else would make it another run.
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
    """Refuses a folder that holds a run unless it is to be resumed, and one to resume that holds none."""
    found = checkpoints.existing(output / checkpoints.FOLDER)
    if found and not is_resumed:
        raise UserError(f"{output} already holds a run: continue it with --resume or name another --output")
    if is_resumed and not found:
        raise UserError(f"nothing to resume: no checkpoint in {output / checkpoints.FOLDER}")


@dataclass
class Trainer:
    """One run in the folder `output`: `begin` or `resume` it, then `run` it over the loader's batches.

    learner: a wing's Learner, made for training.
    card: the facts of the weights to come; a resumed run takes its first ones, from the checkpoint.
    data: what identifies the training data, with the number of their `images`; a run is resumed on the same alone.
    evaluate: returns the figures of the present weights by name; called when the schedule says so and at the end, on
    every rank, but the first rank's figures count.
    log_folder: where the log is written (default: `output`); logs: whether there is one.

    A step whose loss is not finite changes no weights. The run stops at the `schedule.nonfinite_losses`-th such step in
    a row; those before are left out and counted.
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
    left_out: int = 0  # how many updates in a row before this step were left out

    @property
    def folder(self) -> Path:
        """The folder of the run's checkpoints."""
        return self.output / checkpoints.FOLDER

    def begin(self, weights: dict[str, np.ndarray], step: int = 0) -> None:
        """Starts a new run with these weights; refuses a folder that already holds a run."""
        check_output(self.output, is_resumed=False)
        self.learner.load_weights(weights)
        self.step = step

    def resume(self) -> None:
        """Loads the last checkpoint in the folder."""
        check_output(self.output, is_resumed=True)
        last = checkpoints.existing(self.folder)[-1]
        checkpoint = checkpoints.read(last)
        self._check_same_run(checkpoint.state, last)
        self.learner.load_weights(checkpoint.weights)
        self.learner.load_optimizer_state(checkpoint.optimizer)
        self.card, self.step, self.left_out = checkpoint.card, checkpoint.state.step, checkpoint.state.left_out

    def run(self, batches: Iterable[tuple[int, dict[str, np.ndarray]]]) -> None:
        """Trains to the schedule's end; `batches` yields (step, batch) from `self.step` on, without end."""
        is_first = self.learner.rank == 0
        iterations = self.settings.schedule.iterations
        if is_first:
            checkpoints.clear_remains(self.folder)
        log = RunLog((self.log_folder or self.output) if self.logs else None, self.step) if is_first else None
        progress = Progress(iterations, self.step, silent=not is_first)
        try:
            self._evaluate_if_due(log, progress)
            with _collect_stop_signals() as stop:
                self._take_steps(iter(batches), log, progress, stop)
        finally:
            progress.close()
            if log:
                log.close()

    def _take_steps(self, batches: Iterator, log: RunLog | None, progress: Progress, stop: list[int]) -> None:
        """Takes all steps that are left, until `stop` holds a signal that asks to stop."""
        schedule = self.settings.schedule
        while self.step < schedule.iterations:
            began = time.perf_counter()
            step, batch = next(batches)
            if step != self.step:
                raise RuntimeError(f"the loader gave the batch of step {step} at step {self.step}")
            waited = time.perf_counter() - began
            rate = learning_rate(schedule, step)
            losses = self.learner.train_step(batch, rate)
            is_finite = self._check_finite(losses, batch, log, progress)
            self.step += 1
            progress.step(losses, rate)
            is_last = self.step == schedule.iterations
            if log and is_finite and (step % schedule.log_every == 0 or is_last):
                log.training(step, rate, losses, seconds=time.perf_counter() - began, data_seconds=waited)
            # A request to stop reaches one rank alone, or each of them at another step.
            stops = on_any_rank(self.learner, bool(stop))
            if self.step % schedule.checkpoint_every == 0 or is_last or stops:
                self._save(is_last)
            if stops:
                on_any_rank(self.learner, False)  # makes the others wait until the first has saved
                progress.say(f"stopped after step {self.step}; continue with --resume")
                raise KeyboardInterrupt
            self._evaluate_if_due(log, progress)

    def _check_finite(
        self, losses: dict[str, float], batch: dict[str, np.ndarray], log: RunLog | None, progress: Progress
    ) -> bool:
        """Tells whether the losses, which are the same on every rank, are finite; stops the run at one too many."""
        if all(math.isfinite(value) for value in losses.values()):
            self.left_out = 0
            return True
        self.left_out += 1
        terms = ", ".join(f"{name} {value:g}" for name, value in losses.items())
        images = [image for part in gather_values(self.learner, np.array(batch["image_id"]).tolist()) for image in part]
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
        """Writes a checkpoint, on the first rank; after the last step, the final weights too."""
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
        """Evaluates the weights if the schedule says so and the log has no evaluation of this step.

        It is called after the step's checkpoint is saved; a run that was killed in between evaluates on resuming.
        """
        if self.evaluate is None or not is_evaluated(self.settings.schedule, self.step, self.data["images"]):
            return
        # Only the first rank has the log, but all of them evaluate together.
        if not on_any_rank(self.learner, log is not None and not log.has_evaluation(self.step)):
            return
        figures = self.evaluate()
        if log is None:
            return
        log.evaluation(self.step, figures)
        for name, value in figures.items():
            progress.say(f"step {self.step}: {name} {value:.1f}")

    def _check_same_run(self, state: checkpoints.RunState, path: Path) -> None:
        """Refuses to resume from the checkpoint `path` if its run had another framework, seed, data or settings."""
        if state.framework != self.learner.framework:
            raise UserError(f"{path} was written by {state.framework}, this is {self.learner.framework}")
        facts = {"seed": self.seed, "data": self.data, **self.settings.model_dump(mode="json")}
        old_facts = {"seed": state.seed, "data": state.data, **state.settings}
        for key, before, after in _find_differences(old_facts, facts):
            if key not in FREE_TO_CHANGE:
                raise UserError(f"{path} was written with {key} = {before}, this run has {after}")
        if state.step > self.settings.schedule.iterations:
            raise UserError(f"{path} is beyond this run's {self.settings.schedule.iterations} iterations")


def _find_differences(before: Any, after: Any, key: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yields the values in which two nested dictionaries differ, as (dotted key, before, after)."""
    if isinstance(before, dict) and isinstance(after, dict):
        for name in before | after:
            yield from _find_differences(before.get(name), after.get(name), f"{key}.{name}" if key else name)
    elif before != after:
        yield key, before, after


@contextmanager
def _collect_stop_signals() -> Iterator[list[int]]:
    """Collects SIGINT (Ctrl-C) and SIGTERM in a list, so that a run can finish and save its step before it stops.

    A second signal stops it at once.
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
