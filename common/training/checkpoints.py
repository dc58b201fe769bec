"""Writes and reads the checkpoints of a run: folders with the weights, the optimizer's state and the run's state.

A folder is renamed to a checkpoint's name after all of it is written, so a folder of such a name is always whole.
"""

import dataclasses
import json
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from common import weights as weight_files
from common.errors import UserError

FOLDER = "checkpoints"  # inside a run's folder
WEIGHTS, OPTIMIZER, STATE = "weights.safetensors", "optimizer.safetensors", "state.json"


@dataclass(frozen=True)
class RunState:
    """All that a run needs besides its arrays to continue as if it had never stopped."""

    step: int  # how many updates are done; the positions of the loader and the schedule follow from it
    seed: int
    framework: str
    settings: dict[str, Any]
    data: dict[str, Any]  # what identifies the training data, since a run on other data is another run
    left_out: int = 0  # how many updates in a row before this step had a loss that is not finite


@dataclass(frozen=True)
class Checkpoint:
    """The content of a checkpoint; the arrays are named as in the canonical weights."""

    state: RunState
    weights: dict[str, np.ndarray]
    card: weight_files.Card
    optimizer: dict[str, np.ndarray]


def write(folder: Path, checkpoint: Checkpoint, keep: int, keep_every: int = 0) -> Path:
    """Adds a checkpoint to `folder` and returns its path; then removes all but the last `keep`, or none if that is 0.

    If `keep_every` is not 0, checkpoints whose step is a multiple of it are kept too.
    """
    final = folder / f"step_{checkpoint.state.step:06d}"
    temporary = folder / f".{final.name}.{os.getpid()}.tmp"
    temporary.mkdir(parents=True)
    try:
        weight_files.save(temporary / WEIGHTS, checkpoint.weights, checkpoint.card)
        # safetensors writes memory as it lies; ascontiguousarray would make scalars into rows.
        save_file(
            {key: np.asarray(value, order="C") for key, value in checkpoint.optimizer.items()}, temporary / OPTIMIZER
        )
        (temporary / STATE).write_text(json.dumps(dataclasses.asdict(checkpoint.state), indent=2))
        if final.exists():
            _remove(final)
        temporary.rename(final)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    for old in existing(folder)[:-keep] if keep else ():
        if not keep_every or _step_of(old) % keep_every:
            _remove(old)
    return final


def read(path: Path) -> Checkpoint:
    """Reads a checkpoint that `write` wrote."""
    try:
        state = RunState(**json.loads((path / STATE).read_text()))
        optimizer = load_file(path / OPTIMIZER)
    except Exception as error:  # safetensors has its own errors besides those of files and JSON
        raise UserError(f"{path}: not a whole checkpoint: {error}") from None
    weights, card = weight_files.load(path / WEIGHTS)
    return Checkpoint(state, weights, card, optimizer)


def existing(folder: Path) -> list[Path]:
    """Returns the paths of the checkpoints in `folder`, the oldest first."""
    paths = [path for path in folder.glob("step_*") if re.fullmatch(r"step_\d{6,}", path.name)]
    return sorted(paths, key=_step_of)


def _step_of(path: Path) -> int:
    return int(path.name.removeprefix("step_"))


def clear_remains(folder: Path) -> None:
    """Removes the half-written checkpoints that a killed run left in `folder`."""
    for path in folder.glob(".step_*.tmp"):
        shutil.rmtree(path)


def _remove(path: Path) -> None:
    """Removes a checkpoint."""
    # Its name goes first: a half-removed folder must not pass for a checkpoint.
    doomed = path.with_name(f".{path.name}.{os.getpid()}.removed.tmp")
    path.rename(doomed)
    shutil.rmtree(doomed)
