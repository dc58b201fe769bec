"""YOLACT's words for what a run has saved: `latest` and `interrupt`, as weights and to go on from.

A folder may hold the original's own files, NAME_EPOCH_ITERATION[_interrupt].pth, or a run of ours.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from common.errors import UserError
from common.models import load_settings
from common.training import checkpoints
from common.weights import load_card

WORDS = ("latest", "interrupt")
FOLDER = Path("weights")  # where the original's eval.py looks
_FILE = re.compile(r"(?P<name>.+)_\d+_(?P<iteration>\d+)(?P<stopped>_interrupt)?")


def resumed_words(words: Sequence[str]) -> list[str]:
    """A command's words in which `--resume=FILE` and `--resume FILE` have become --resume_file=FILE.

    An option whose value may be left out would swallow the word behind it; a file is told by its ending.
    """
    found = []
    for word in words:
        if found and found[-1] == "--resume" and (word in WORDS or Path(word).suffix in (".pth", ".safetensors")):
            found[-1] = f"--resume_file={word}"
        else:
            found.append(re.sub("^--resume=", "--resume_file=", word))
    return found


def saved_run(word: Path, output: Path, model: str) -> Path | None:
    """What `--resume=latest` and `--resume=interrupt` go on from: None for the run of ours that `output` holds, else
    the original's file there; another word is a file's own name."""
    if str(word) not in WORDS or word.is_file():
        return word
    if checkpoints.existing(output / checkpoints.FOLDER):
        return None
    found = _files(output, str(word), load_settings(model).model)
    if not found:
        raise UserError(f"--resume={word}: {output} holds neither a run's checkpoint nor a {model}_EPOCH_ITERATION.pth")
    return found[-1]


def saved_weights(word: Path, model: str | None) -> Path:
    """The weights that `--trained_model=latest` and `interrupt` mean, those of the model where one is named.

    Of ours a run's last checkpoint stands for both, since a stopped run leaves one.
    """
    if str(word) not in WORDS:
        return word
    name = load_settings(model).model if model else None
    found = _files(FOLDER, str(word), name) + _checkpoints(FOLDER, name)
    if not found:
        of = f" of {name}" if name else ""
        raise UserError(f"{word}: no weights{of} are saved in {FOLDER.resolve()}; name their file")
    return max(found, key=_iteration)


def _files(folder: Path, word: str, name: str | None) -> list[Path]:
    """The original's files, by their iterations; `interrupt` means those of stopped runs alone."""
    found = []
    for path in sorted(folder.glob("*.pth")):
        match = _FILE.fullmatch(path.stem)
        if match and name in (None, match["name"]) and (word == "latest" or match["stopped"]):
            found.append(path)
    return sorted(found, key=_iteration)


def _checkpoints(folder: Path, name: str | None) -> list[Path]:
    found = [path / checkpoints.WEIGHTS for path in checkpoints.existing(folder / checkpoints.FOLDER)]
    return [path for path in found if name is None or load_card(path).model == name]


def _iteration(path: Path) -> int:
    match = _FILE.fullmatch(path.stem)
    return int(match["iteration"] if match else path.parent.name.rpartition("_")[2])
