"""Checkpoints of a run: a folder a step with the weights, the optimizer's memory and where the run stood.

A folder gets its name when all that is in it is written, so whatever carries a checkpoint's name is whole.
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

FOLDER = "checkpoints"  # of a run's folder
WEIGHTS, OPTIMIZER, STATE = "weights.safetensors", "optimizer.safetensors", "state.json"


@dataclass(frozen=True)
class RunState:
    """What a run needs beside its arrays to go on as if it had never stopped."""

    step: int  # updates done; the loader's position and the schedule's follow from it
    seed: int
    framework: str
    settings: dict[str, Any]
    data: dict[str, Any]  # what the training data were: a run on other data is another run
    left_out: int = 0  # updates in a row whose loss was not finite, up to this step


@dataclass(frozen=True)
class Checkpoint:
    state: RunState
    weights: dict[str, np.ndarray]
    card: weight_files.Card
    optimizer: dict[str, np.ndarray]


def write(folder: Path, checkpoint: Checkpoint, keep: int, keep_every: int = 0) -> Path:
    """Adds a checkpoint to `folder`, then removes all but the last `keep`, of which 0 means all.

    Those of a step that is a multiple of `keep_every`, where this is not 0, stay too.
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
        if not keep_every or _step(old) % keep_every:
            _remove(old)
    return final


def read(path: Path) -> Checkpoint:
    """All that `write` wrote."""
    try:
        state = RunState(**json.loads((path / STATE).read_text()))
        optimizer = load_file(path / OPTIMIZER)
    except Exception as error:  # safetensors has an error class of its own beside those of files and JSON
        raise UserError(f"{path}: not a whole checkpoint: {error}") from None
    weights, card = weight_files.load(path / WEIGHTS)
    return Checkpoint(state, weights, card, optimizer)


def existing(folder: Path) -> list[Path]:
    """The checkpoints in `folder`, oldest first."""
    found = [path for path in folder.glob("step_*") if re.fullmatch(r"step_\d{6,}", path.name)]
    return sorted(found, key=_step)


def _step(path: Path) -> int:
    return int(path.name.removeprefix("step_"))


def clear_remains(folder: Path) -> None:
    """Removes what a killed run left half-written."""
    for path in folder.glob(".step_*.tmp"):
        shutil.rmtree(path)


def _remove(path: Path) -> None:
    """Takes the name away first: a half-removed folder must not pass for a checkpoint."""
    doomed = path.with_name(f".{path.name}.{os.getpid()}.removed.tmp")
    path.rename(doomed)
    shutil.rmtree(doomed)
