"""Logs a run: a line of JSON for each logged step, TensorBoard's curves, and progress on the terminal."""

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tqdm import tqdm

from common.errors import UserError
from common.files import atomic_path
from common.packages import import_package

# It would import PyTorch, which takes seconds, and which must not be in one process with Jittor.
SummaryWriter = import_package("tensorboardX", "tensorboardX", "training", without=["torch"]).SummaryWriter

LOG = "log.jsonl"
# In seconds, between two progress lines where stderr is no terminal.
PLAIN_INTERVAL = 10.0


def check_new(folder: Path) -> None:
    """Refuses a folder that holds another run's log, since a new run would overwrite it."""
    if (folder / LOG).exists():
        raise UserError(f"{folder / LOG} is the log of another run; name another folder")


class RunLog:
    """Writes a run's `log.jsonl` and TensorBoard's files, continued from `start_step`; without a folder, nothing.

    The `step` of a training line, and of a line about an update that was left out, counts updates from 0; the losses of
    the latter are text. The `step` of an evaluation is the number of updates done before it. Lines that a killed run
    wrote after its last checkpoint are dropped, since their steps are taken again.
    """

    def __init__(self, folder: Path | None, start_step: int):
        self._evaluated: set[int] = set()
        self.count_left_out = 0
        self._file = self._curves = None
        if folder is None:
            return
        self._path = folder / LOG
        lines = [line for line in _read_lines(self._path) if _is_before(line, start_step)]
        self._evaluated = {line["step"] for line in lines if "evaluation" in line}
        self.count_left_out = sum("left_out" in line for line in lines)
        with atomic_path(self._path) as temporary:
            temporary.write_text("".join(json.dumps(line) + "\n" for line in lines))
        self._file = self._path.open("a")
        self._curves = SummaryWriter(str(folder / "tensorboard"), purge_step=start_step or None)

    def training(self, step: int, learning_rate: float, losses: dict[str, float], **facts: float) -> None:
        """Logs an update."""
        if self._file is None:
            return
        self._write({"step": step, "learning_rate": learning_rate, "losses": losses, **facts})
        self._curves.add_scalar("learning_rate", learning_rate, step)
        for name, value in {**losses, "total": sum(losses.values())}.items():
            self._curves.add_scalar(f"loss/{name}", value, step)

    def left_out(self, step: int, losses: dict[str, float], images: list[int]) -> None:
        """Logs that an update was left out, because its loss was not finite."""
        self.count_left_out += 1
        if self._file is None:
            return
        self._write(
            {"step": step, "left_out": {name: f"{value:g}" for name, value in losses.items()}, "images": images}
        )

    def evaluation(self, step: int, figures: dict[str, float]) -> None:
        """Logs the figures of an evaluation after `step` updates."""
        self._evaluated.add(step)
        if self._file is None:
            return
        self._write({"step": step, "evaluation": figures})
        for name, value in figures.items():
            self._curves.add_scalar(f"evaluation/{name}", value, step)

    def has_evaluation(self, step: int) -> bool:
        """Tells whether an evaluation after `step` updates has been logged."""
        return step in self._evaluated

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._curves.close()

    def _write(self, line: dict[str, Any]) -> None:
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()


def _read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yields the lines of a log up to one that a killed run left incomplete."""
    if not path.exists():
        return
    for text in path.read_text().splitlines():
        try:
            yield json.loads(text)
        except json.JSONDecodeError:
            return


def _is_before(line: dict[str, Any], start_step: int) -> bool:
    return line["step"] <= start_step if "evaluation" in line else line["step"] < start_step


class Progress:
    """Shows the time left and the losses: a bar on a terminal, elsewhere a line every now and then."""

    def __init__(self, total: int, start: int, silent: bool = False):
        self._is_terminal = sys.stderr.isatty()
        self._bar = tqdm(total=total, initial=start, unit="step", disable=silent or not self._is_terminal)
        self._silent = silent
        self._total, self._start, self._done = total, start, start
        self._began = self._shown = time.monotonic()

    def step(self, losses: dict[str, float], learning_rate: float) -> None:
        """Shows that one more update is done."""
        self._done += 1
        facts = " ".join(f"{name} {value:.3f}" for name, value in losses.items())
        text = f"{facts} total {sum(losses.values()):.3f} lr {learning_rate:.2e}"
        self._bar.set_postfix_str(text, refresh=False)
        self._bar.update()
        now = time.monotonic()
        is_due = now - self._shown >= PLAIN_INTERVAL or self._done in (self._start + 1, self._total)
        if is_due and not self._is_terminal:
            self._shown = now
            meter = tqdm.format_meter(
                self._done, self._total, now - self._began, initial=self._start, unit="step", postfix=text, ncols=0
            )
            self.say(meter)

    def say(self, text: str) -> None:
        """Writes a line of its own above the bar."""
        if not self._silent:
            tqdm.write(text, file=sys.stderr)

    def close(self) -> None:
        self._bar.close()
