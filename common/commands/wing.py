"""What the wings' commands share: arguments, finding a wing, opening a trained model.

A wing is imported by name and only when it is needed: the loader's workers import a command's module again and must
stay light, and `--help` must not wait for a framework.
"""

import argparse
import importlib
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from common.commands import originals
from common.commands.arguments import truth
from common.config import Settings, model_names
from common.errors import UserError
from common.families.mask_rcnn.maskrcnn_benchmark import KEYS, Config, is_config, read_config, split_pairs
from common.models import load_settings
from common.weights import Card, check_fit, with_card

_OVERRIDE = re.compile(r"[a-z_]+(\.[a-z_]+)*=")


class Parser(argparse.ArgumentParser):
    """A command's arguments: `words` in their order, then options, then `key.path=value` wherever they stand."""

    def __init__(self, framework: str, command: str, words: Sequence[str], usage: str, description: str, examples: str):
        program = f"python -m {framework}_impl.{command}"
        lines = "\n".join(f"  {program} {example}" for example in examples.strip().splitlines())
        config = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
        config.add_argument(
            "--config-file",
            type=Path,
            metavar="FILE",
            help="in place of MODEL a YAML file of maskrcnn-benchmark, changed by KEY VALUE pairs as its train_net and"
            " test_net have them",
        )
        super().__init__(
            prog=program,
            usage=f"{program} {usage} [options] [key.path=value ...]\n"
            f"       {program} --config-file FILE [options] [KEY VALUE ...]",
            parents=[config],
            description=description,
            epilog=f"examples:\n{lines}\n\nmodels: {', '.join(model_names())}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        self._command, self._words, self._config_option = command, words, config
        self._originals: list[originals.Option] = []
        self.add_argument("words", nargs="*", help=argparse.SUPPRESS)
        self.add_argument(
            "--device", default="auto", choices=("auto", "cpu", "cuda", "ascend"), help="default: the best there is"
        )
        self.add_argument("--config", metavar="MODEL", help="the model, for those who know it as an option")
        self.add_argument(
            "--local_rank",
            "--local-rank",
            type=int,
            help="torch.distributed.launch adds it; the environment says it too",
        )

    def read(self, argv: Sequence[str] | None) -> argparse.Namespace:
        """The arguments; every word that is missing is None, `overrides` are the settings to change.

        A missing model is the one that the weights' card or file name tells, as in YOLACT's own command. A
        configuration of maskrcnn-benchmark stands for a model, for overrides and for options that are not given.
        """
        argv, pairs = split_pairs(sys.argv[1:] if argv is None else argv)
        if self._command == "train":
            argv = originals.resumed_words(argv)
        config = self._config_file(argv, pairs)
        assumed = originals.assumed(argv)
        self._take_for_granted({name: value for name, value in assumed.items() if name == "data"})
        arguments = self.parse_intermixed_args(argv)
        overrides = [word for word in arguments.words if _OVERRIDE.match(word) and not Path(word).exists()]
        words = [word for word in arguments.words if word not in overrides]
        if arguments.config:
            words.insert(0, arguments.config)
        if arguments.config_file:
            words.insert(0, config.model if config else str(arguments.config_file))
        if len(words) > len(self._words):
            self.error(f"unexpected argument {words[len(self._words)]}")
        words += [None] * (len(self._words) - len(words))
        for name, word in zip(self._words, words, strict=True):
            setattr(arguments, name, word)
        arguments.overrides = [
            *(config.overrides() if config else ()),
            *originals.apply_options(self._originals, arguments),
            *overrides,
        ]
        if config:
            config.complete(arguments, self._command)
        if arguments.weights is not None and not arguments.weights.exists():
            arguments.weights = originals.saved_weights(arguments.weights, arguments.model)
        if arguments.model is None and arguments.weights is not None:
            from weights_convert import model_of

            arguments.model = model_of(arguments.weights) or assumed.get("model")
        if arguments.model is not None and arguments.model.endswith((".yaml", ".yml")) and is_config(arguments.model):
            self.error(f"{arguments.model} is a file of maskrcnn-benchmark; give it as --config-file")
        if arguments.model is None:
            self.error(f"MODEL is missing; there are {', '.join(model_names())}")
        return arguments

    def _config_file(self, argv: Sequence[str], pairs: Sequence[tuple[str, str]]) -> Config | None:
        """What --config-file names, where that is no file of ours; its options become defaults."""
        path = self._config_option.parse_known_args(argv)[0].config_file
        if path is None or not is_config(path):
            if pairs:
                key = pairs[0][0]
                ours = f"; for a model by its name it is {KEYS[key].path}=" if key in KEYS and KEYS[key].path else ""
                self.error(f"{key} changes maskrcnn-benchmark's file, given as --config-file{ours}")
            return None
        config = read_config(path, pairs)
        options = config.options(self._command)
        self._take_for_granted({"data": None, "weights": None} | options)
        return config

    def _take_for_granted(self, defaults: Mapping[str, Any]) -> None:
        """Gives the arguments that there are these values where the command line gives none, required or not."""
        for action in self._actions:
            if action.dest in defaults:
                action.default, action.required = defaults[action.dest], False

    def add_originals(self) -> None:
        """The options of the originals' commands; after our own, whose names they may not take."""
        self._originals = originals.add_options(self, originals.tables_of(self._command))

    def add_nms_options(self) -> None:
        """YOLACT's own names for `detection.nms`."""
        self.add_argument("--fast_nms", type=truth, metavar="BOOL", help="false: detection.nms=exact")
        self.add_argument("--cross_class_nms", type=truth, metavar="BOOL", help="true: detection.nms=cross_class")

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message} (see {self.prog} --help)")


def nms_overrides(arguments: argparse.Namespace) -> list[str]:
    """The override that YOLACT's own options for NMS stand for; without fast NMS there is no cross-class one."""
    if arguments.fast_nms is False:
        return ["detection.nms=exact"]
    if arguments.cross_class_nms is not None:
        return [f"detection.nms={'cross_class' if arguments.cross_class_nms else 'fast'}"]
    return ["detection.nms=fast"] if arguments.fast_nms else []


def learner_class(framework: str) -> type:
    """The wing's Learner; says what to install when its framework is missing."""
    return importlib.import_module(f"{framework}_impl.learner").Learner


def trained_model(framework: str, arguments: argparse.Namespace) -> tuple[Any, Settings, Card]:
    """`open_model` of a command's arguments."""
    return open_model(framework, arguments.model, arguments.weights, arguments.overrides, arguments.device)


def open_model(
    framework: str, model: str, weights: Path, overrides: Sequence[str] = (), device: str = "auto"
) -> tuple[Any, Settings, Card]:
    """A learner with the weights of a file, its settings, and the card that goes with the weights."""
    from weights_convert import open_weights

    settings = load_settings(model, overrides)
    arrays, card = open_weights(weights, settings)
    settings = with_card(settings, card, str(weights), overrides)
    learner = learner_class(framework)(settings, device)
    check_fit(arrays, learner.shapes(), str(weights))
    learner.load_weights(arrays)
    return learner, settings, card
