"""The originals' own commands, for those who type them from habit: one file an original, with a record `ORIGINAL`.

Each of an original's options works, is accepted where no result depends on it, or is answered by one line that says
what to use instead.
"""

import importlib
import pkgutil
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from common.commands.options import Option


@dataclass(frozen=True)
class SavedRuns:
    """How an original names what its runs have saved, where the commands take such names.

    resumed_words: the words of a train command -> the words in which its ways to go on from a file are `--resume_file`.
    run: the value of `--resume_file`, the folder of the run and the model -> the file to go on from, or None where a
        run of ours in that folder is meant.
    weights: the value of `--weights`, which is no file, and the model where one is named -> the file that it means.
    iteration: a file to go on from -> the iteration that its name tells, or None.
    """

    resumed_words: Callable[[Sequence[str]], list[str]]
    run: Callable[[Path, Path, str], Path | None]
    weights: Callable[[Path, str | None], Path]
    iteration: Callable[[Path], int | None]


def _nothing(_: Any) -> tuple:
    return ()


def _alike(_: str, words: Sequence[str]) -> list[str]:
    return list(words)


@dataclass(frozen=True)
class Original:
    """The commands of an original implementation, as far as ours understand their words.

    name: what the original is called.
    options: of each command of ours, the options that the original's command for the same purpose has.
    words: one of our commands and its words -> the words in which what the original tells by its place has an option.
    assumed: a command's words -> pairs of the arguments that they imply and their values; `model` may be among them.
    settled: a command's arguments -> the overrides that several options stand for together; they come after all others.
    results_files: where its evaluation writes results, by what they are of; `--output_coco_json` writes there.
    saved_runs: see `SavedRuns`.
    """

    name: str
    options: Mapping[str, Sequence[Option]] = field(default_factory=dict)
    words: Callable[[str, Sequence[str]], list[str]] = _alike
    assumed: Callable[[Sequence[str]], Sequence[tuple[str, Any]]] = _nothing
    settled: Callable[[Namespace], Sequence[str]] = _nothing
    results_files: Mapping[str, Path] = field(default_factory=dict)
    saved_runs: SavedRuns | None = None


@cache
def all_originals() -> tuple[Original, ...]:
    """The records of all originals, in the order of their files' names."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return tuple(importlib.import_module(f"common.commands.originals.{name}").ORIGINAL for name in names)


def options_for(command: str) -> dict[str, Sequence[Option]]:
    """The options of each original that has a command like this one, by its name."""
    found = {original.name: original.options.get(command, ()) for original in all_originals()}
    return {name: options for name, options in found.items() if options}


def named_words(command: str, words: Sequence[str]) -> list[str]:
    """A command's words with options before those that an original tells by their places."""
    for original in all_originals():
        words = original.words(command, words)
    return list(words)


def assumed_arguments(words: Sequence[str]) -> dict[str, Any]:
    """The arguments, by their names, that a command's words imply where nothing else is said."""
    return dict(pair for original in all_originals() for pair in original.assumed(words))


def settled_overrides(arguments: Namespace) -> list[str]:
    """The overrides that several options stand for together."""
    return [override for original in all_originals() for override in original.settled(arguments)]


def results_files() -> dict[str, Path]:
    """Returns the files that the originals' evaluations write, by the name of the results in them."""
    return {name: path for original in all_originals() for name, path in original.results_files.items()}


def resumed_words(words: Sequence[str]) -> list[str]:
    """The words of a train command in which every way to go on from an original's file is `--resume_file`."""
    for runs in _saved_runs():
        words = runs.resumed_words(words)
    return list(words)


def saved_run(word: Path, output: Path, model: str) -> Path | None:
    """The file that `--resume_file` means, or None where it means the run of ours in the folder `output`."""
    for runs in _saved_runs():
        found = runs.run(word, output, model)
        if found != word:
            return found
    return word


def saved_weights(word: Path, model: str | None) -> Path:
    """The file that `--weights` means where its value is no file; the value itself where no original knows it."""
    return next((found for runs in _saved_runs() if (found := runs.weights(word, model)) != word), word)


def saved_iteration(path: Path) -> int | None:
    """The iteration that the name of an original's file tells."""
    found = (runs.iteration(path) for runs in _saved_runs())
    return next((iteration for iteration in found if iteration is not None), None)


def _saved_runs() -> list[SavedRuns]:
    return [original.saved_runs for original in all_originals() if original.saved_runs]
