"""The parser of the wings' commands: words, options, settings, and what families and originals add to them."""

import argparse
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from common.commands import originals
from common.commands.options import Option, add_options, apply_options
from common.config import Settings, model_names
from common.errors import UserError
from common.families import Family, config_files_of, family_of, family_records, known_config_files
from common.families.config_files import Config
from common.families.data_layout import DataPart
from common.wing import Wing

_OVERRIDE = re.compile(r"[a-z_]+(\.[a-z_]+)*=")


class Parser(argparse.ArgumentParser):
    """A command's arguments: `words` in their order, then options, then `key.path=value` wherever they stand."""

    def __init__(self, wing: Wing, command: str, words: Sequence[str], usage: str, description: str, examples: str):
        program = f"python -m {wing.framework}_impl.{command}"
        lines = "\n".join(f"  {program} {example}" for example in examples.strip().splitlines())
        config = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
        config_help = "; ".join(files.help for files in known_config_files())
        config.add_argument("--config-file", type=Path, metavar="FILE", help=config_help)
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
        self._wing, self._command, self._words, self._config_option = wing, command, words, config
        self._originals: list[Option] = []
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

        A missing model is the one that the weights' card or file name tells, or that the words imply. A configuration
        file of an original stands for a model, for overrides and for options that are not given.
        """
        argv, config = self._read_config(sys.argv[1:] if argv is None else argv)
        argv = originals.named_words(self._command, argv)
        if self._command == "train":
            argv = originals.resumed_words(argv)
        assumed = originals.assumed_arguments(argv)
        self._take_for_granted({name: value for name, value in assumed.items() if name != "model"})
        arguments = self.parse_intermixed_args(argv)
        overrides = self._name_words(arguments, config)
        arguments.overrides = [
            *(config.overrides() if config else ()),
            *apply_options(self._originals, arguments),
            *overrides,
            *originals.settled_overrides(arguments),
        ]
        if config:
            config.complete(arguments, self._command)
        if arguments.weights is not None and not arguments.weights.exists():
            arguments.weights = originals.saved_weights(arguments.weights, arguments.model)
        if arguments.model is None and arguments.weights is not None:
            arguments.model = self._wing.model_of(arguments.weights)
        if arguments.model is None:
            arguments.model = assumed.get("model")
        self._check_model(arguments.model)
        return arguments

    def _read_config(self, argv: Sequence[str]) -> tuple[list[str], Config | None]:
        """The words without KEY VALUE pairs, and the configuration of an original that --config-file names, if it does.

        The options that the configuration gives become defaults.
        """
        path = self._config_option.parse_known_args(argv)[0].config_file
        files = config_files_of(path) if path else None
        if files is None:
            self._refuse_pairs(argv)
            return list(argv), None
        argv, pairs = files.split_pairs(argv)
        config = files.read(path, pairs)
        self._take_for_granted({"data": None, "weights": None} | config.options(self._command))
        return argv, config

    def _refuse_pairs(self, argv: Sequence[str]) -> None:
        """Refuses KEY VALUE pairs, which need an original's configuration file, by the first one."""
        found = {}
        for files in known_config_files():
            _, pairs = files.split_pairs(argv)
            if pairs:
                found[files.original] = pairs[0][0], files.path_of(pairs[0][0])
        if found:
            key = next(iter(found.values()))[0]
            paths = sorted({path for _, path in found.values() if path})
            ours = f"; for a model by its name it is {' or '.join(f'{path}=' for path in paths)}" if paths else ""
            self.error(f"{key} changes a file of {' or '.join(sorted(found))}, given as --config-file{ours}")

    def _name_words(self, arguments: argparse.Namespace, config: Config | None) -> list[str]:
        """Makes each of the words an argument of its name, the model first; returns those that are overrides."""
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
        return overrides

    def _check_model(self, model: str | None) -> None:
        """Refuses a model that is missing, and an original's configuration file in its place."""
        if model is None:
            self.error(f"MODEL is missing; there are {', '.join(model_names())}")
        files = config_files_of(Path(model)) if model.endswith((".yaml", ".yml")) else None
        if files is not None:
            self.error(f"{model} is a file of {files.original}; give it as --config-file")

    def _take_for_granted(self, defaults: Mapping[str, Any]) -> None:
        """Gives the arguments that there are these values where the command line gives none, required or not."""
        for action in self._actions:
            if action.dest in defaults:
                action.default, action.required = defaults[action.dest], False
        for group in self._mutually_exclusive_groups:
            group.required = group.required and all(action.dest not in defaults for action in group._group_actions)

    def add_data(self) -> None:
        """The option `--data`, or in its place one of the wing's own formats: a folder, or the format's source."""
        formats = self._wing.data_formats
        group = self.add_mutually_exclusive_group(required=True) if formats else self
        required = {} if formats else {"required": True}
        group.add_argument(
            "--data", type=Path, metavar="ROOT", help="folder of a data set in COCO's format", **required
        )
        for each in formats:
            group.add_argument(each.option, dest="data", type=each.source, metavar="FOLDER", help=each.help)

    def add_prompts(self) -> None:
        """The options by which the families whose models are told something beside an image are given a file of it."""
        for family in family_records():
            prompts = family.prompts
            if prompts and prompts.option not in self._option_string_actions:
                given = {"dest": prompts.option, "type": Path, "metavar": "FILE"}
                self.add_argument(prompts.option, help=prompts.help[self._command], **given)

    def add_protocols(self) -> None:
        """The options that rate a model on the data sets of its family's original."""
        for family in family_records():
            for protocol in family.data_layout.protocols if family.data_layout else ():
                if protocol.option not in self._option_string_actions:
                    given = {"dest": protocol.option, "action": "store_true"}
                    self.add_argument(protocol.option, help=protocol.help, **given)

    def add_originals(self) -> None:
        """The options of the originals' commands; after our own, whose names they may not take."""
        self._originals = add_options(self, originals.options_for(self._command))

    def check_family(self, arguments: argparse.Namespace, settings: Settings) -> None:
        """Refuses the options of families that the model is not of."""
        own = _options_of(family_of(settings))
        for family in family_records():
            strange = [option for option in _options_of(family) if option in arguments and option not in own]
            if any(getattr(arguments, option) for option in strange):
                *others, last = strange
                named = f"{', '.join(others)} and {last} are" if others else f"{last} is"
                self.error(f"{named} for models that find {family.finds}")

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message} (see {self.prog} --help)")


def model_arguments(arguments: argparse.Namespace) -> tuple[str, Path, list[str], str]:
    """The model, its weights, the overrides and the device, as `open_model` takes them."""
    return arguments.model, arguments.weights, arguments.overrides, arguments.device


def prompt_file(arguments: argparse.Namespace, settings: Settings) -> Path | None:
    """The file of prompts that is given to a command, for a model that takes any."""
    prompts = family_of(settings).prompts
    return getattr(arguments, prompts.option) if prompts else None


def rated_parts(arguments: argparse.Namespace, settings: Settings) -> list[DataPart]:
    """The parts of the original's data on which the chosen protocols rate a model."""
    layout = family_of(settings).data_layout
    chosen = [protocol for protocol in layout.protocols if getattr(arguments, protocol.option)] if layout else []
    return [part for protocol in chosen for part in protocol.parts]


def _options_of(family: Family) -> list[str]:
    """The options that a family adds to commands."""
    options = [family.prompts.option] if family.prompts else []
    return options + [protocol.option for protocol in family.data_layout.protocols] if family.data_layout else options
