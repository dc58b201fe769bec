"""`triseg COMMAND ...`: trains, evaluates, predicts, converts and compares, in any framework, under one name."""

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

from common.errors import UserError, run_command

# In the order in which one is taken where `--framework` does not say.
FRAMEWORKS = ("torch", "jittor", "mindspore")


@dataclass(frozen=True)
class Command:
    """A command's module, whose `main` runs it, and what it does; `{framework}` in the module's name is a wing's."""

    module: str
    summary: str

    @property
    def needs_framework(self) -> bool:
        return "{framework}" in self.module


COMMANDS = {
    "train": Command("{framework}_impl.train", "train a model, from scratch, from weights, or on from a stop"),
    "evaluate": Command("{framework}_impl.evaluate", "rate a trained model on a data set in COCO's format"),
    "predict": Command("{framework}_impl.predict", "find instances in images, folders, videos or a camera's pictures"),
    "trace": Command("{framework}_impl.trace", "write a network's stages on given arrays"),
    "convert": Command("weights_convert.__main__", "convert a checkpoint between formats and frameworks"),
    "check": Command("common.data.check", "name what in a data set cannot be trained on"),
    "shapes": Command("common.data.shapes", "write a small synthetic data set"),
    "mindrecord": Command("mindspore_impl.mindrecord", "write a data set in MindSpore's record format, to train from"),
    "parity": Command("benchmarks.parity.__main__", "find the layer in which implementations of a model part ways"),
    "speed": Command("benchmarks.speed.__main__", "measure the models' speed in each framework"),
    "doctor": Command("common.doctor", "say what this machine has for the three frameworks and what it lacks"),
}


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command that the first word names with the words behind it."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("--help", "-h"):
        print(overview())
        return
    name, *rest = words
    if name not in COMMANDS:
        _refuse(f"there is no command {name}; there are {', '.join(COMMANDS)}")
    command = COMMANDS[name]
    if not command.needs_framework:
        sys.argv = [f"triseg {name}", *rest]
        importlib.import_module(command.module).main()
        return
    framework, rest = chosen_framework(rest)
    importlib.import_module(command.module.format(framework=framework)).main(rest)


def chosen_framework(words: Sequence[str]) -> tuple[str, list[str]]:
    """The framework of `--framework NAME`, by default the first that is installed, and the words without the option."""
    rest, chosen, following = [], None, iter(words)
    for word in following:
        option, equals, value = word.partition("=")
        if option != "--framework":
            rest.append(word)
            continue
        chosen = value if equals else next(following, "")
        if chosen not in FRAMEWORKS:
            _refuse(f"--framework {chosen}: there are {', '.join(FRAMEWORKS)}")
    installed = (name for name in FRAMEWORKS if importlib.util.find_spec(name))
    return chosen or next(installed, FRAMEWORKS[0]), rest


def overview() -> str:
    """The map of all commands that `triseg --help` prints."""
    lines = [f"  {name:<12}{command.summary}" for name, command in COMMANDS.items()]
    return "\n".join(
        [
            "usage: triseg COMMAND [--framework torch|jittor|mindspore] ...",
            "",
            *lines,
            "",
            "`triseg COMMAND --help` explains each with examples. train, evaluate, predict and trace take --framework,",
            f"by default the first that is installed of {', '.join(FRAMEWORKS)};",
            "`python -m torch_impl.train` and so on are the same commands.",
        ]
    )


def _refuse(message: str) -> NoReturn:
    raise UserError(f"{message} (see triseg --help)")


def run() -> None:
    """The console script's entry point."""
    run_command(main)


if __name__ == "__main__":
    run()
