"""What a run tells: a line of JSON for each logged step, TensorBoard's curves, and progress on the terminal."""

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tqdm import tqdm

from common.errors import UserError
from common.files import atomic_path
from common.packages import needed

SummaryWriter = needed("tensorboardX", "tensorboardX", "training").SummaryWriter

LOG = "log.jsonl"
# Between two progress lines where stderr is no terminal, in seconds.
PLAIN_INTERVAL = 10.0


def check_new(folder: Path) -> None:
    """Refuses a folder that holds another run's log, which a new run would take the place of."""
    if (folder / LOG).exists():
        raise UserError(f"{folder / LOG} is the log of another run; name another folder")


class RunLog:
    """`log.jsonl` and TensorBoard's files of a run, continued from `start_step`; without a folder nothing is written.

    A training line's `step` is the number of the update, from 0, and so is that of a line about an update that was left
    out, where the losses are text; an evaluation's is how many were done. What a killed run logged beyond its last
    checkpoint is dropped, since those steps are taken again.
    """

    def __init__(self, folder: Path | None, start_step: int):
        self._evaluated: set[int] = set()
        self._file = self._curves = None
        if folder is None:
            return
        self._path = folder / LOG
        lines = [line for line in _lines(self._path) if _is_before(line, start_step)]
        self._evaluated = {line["step"] for line in lines if "evaluation" in line}
        self.count_left_out = sum("left_out" in line for line in lines)
        with atomic_path(self._path) as temporary:
            temporary.write_text("".join(json.dumps(line) + "\n" for line in lines))
        self._file = self._path.open("a")
        self._curves = SummaryWriter(str(folder / "tensorboard"), purge_step=start_step or None)

    def training(self, step: int, learning_rate: float, losses: dict[str, float], **facts: float) -> None:
        if self._file is None:
            return
        self._write({"step": step, "learning_rate": learning_rate, "losses": losses, **facts})
        self._curves.add_scalar("learning_rate", learning_rate, step)
        for name, value in {**losses, "total": sum(losses.values())}.items():
            self._curves.add_scalar(f"loss/{name}", value, step)

    def left_out(self, step: int, losses: dict[str, float], images: list[int]) -> None:
        """An update that was not made, since its loss was not finite."""
        self.count_left_out += 1
        self._write(
            {"step": step, "left_out": {name: f"{value:g}" for name, value in losses.items()}, "images": images}
        )

    def evaluation(self, step: int, figures: dict[str, float]) -> None:
        self._evaluated.add(step)
        if self._file is None:
            return
        self._write({"step": step, "evaluation": figures})
        for name, value in figures.items():
            self._curves.add_scalar(f"evaluation/{name}", value, step)

    def has_evaluation(self, step: int) -> bool:
        return step in self._evaluated

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._curves.close()

    def _write(self, line: dict[str, Any]) -> None:
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """The whole lines of a log; the last may have been cut short."""
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
    """A bar with the time left and the losses on a terminal; elsewhere now and then a line with the same."""

    def __init__(self, total: int, start: int, silent: bool = False):
        self._is_terminal = sys.stderr.isatty()
        self._bar = tqdm(total=total, initial=start, unit="step", disable=silent or not self._is_terminal)
        self._silent = silent
        self._total, self._start, self._done = total, start, start
        self._began = self._shown = time.monotonic()

    def step(self, losses: dict[str, float], learning_rate: float) -> None:
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
        """A line of its own above the bar."""
        if not self._silent:
            tqdm.write(text, file=sys.stderr)

    def close(self) -> None:
        self._bar.close()
