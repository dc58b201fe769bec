"""The options of originals' commands: each becomes a setting, an argument of ours, nothing, or one line.

An original's file in `common/commands/originals` lists its options by the command of ours. `add_options` makes a parser
know them, each original's in a group of the help; `apply_options` turns what was given into arguments and overrides.
"""

import argparse
import json
import shutil
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Setting:
    """An option whose value becomes the setting `path`."""

    names: tuple[str, ...]
    path: str
    type: Callable[[str], Any]


@dataclass(frozen=True)
class Switch:
    """An option without a value that stands for overrides, each key.path=value."""

    names: tuple[str, ...]
    overrides: tuple[str, ...]


@dataclass(frozen=True)
class Also:
    """Other names of one of our own options."""

    names: tuple[str, ...]
    option: str


@dataclass(frozen=True)
class Argument:
    """An option whose value, or bare presence where `type` is None, changes arguments of ours by their names.

    Under `overrides` stand settings to change, each key.path=value. With `many` the option takes all words up to the
    next option, and `change` is given their list.
    """

    names: tuple[str, ...]
    help: str
    change: Callable[[Any], Mapping[str, Any]]
    type: Callable[[str], Any] | None = str
    many: bool = False


@dataclass(frozen=True)
class Silent:
    """An option that is accepted because no result depends on it."""

    names: tuple[str, ...]
    reason: str
    takes_value: bool = False


@dataclass(frozen=True)
class Instead:
    """An option that is answered by a line that says what to use; with a value of `harmless` it asks for nothing.

    The line may name our commands as {train}, {evaluate}, {predict} and {trace}, and this one's {module}.
    """

    names: tuple[str, ...]
    line: str
    harmless: tuple[str, ...] = ()


Option = Setting | Switch | Also | Argument | Silent | Instead


class _Refusal(argparse.Action):
    """Ends a command with the line of an `Instead`."""

    def __init__(self, *args: Any, line: str, harmless: Sequence[str], **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._line, self._harmless = line, harmless

    def __call__(self, parser, namespace, values, option_string=None) -> None:
        if not self._harmless or values.lower() not in self._harmless:
            parser.error(f"{option_string}: {self._line}")


def add_options(parser: argparse.ArgumentParser, tables: Mapping[str, Sequence[Option]]) -> list[Option]:
    """Adds the options of each original, by its name; a name that the parser has already keeps its meaning.

    Returns the options that were added, with the names by which the parser knows them.
    """
    added = []
    for original, options in tables.items():
        group = parser.add_argument_group(f"options of {original}'s own commands")
        listed = {Silent: [], Instead: []}
        for option in options:
            names = tuple(name for name in option.names if name not in parser._option_string_actions)
            if names:
                _add(parser, group, option, names)
                added.append(option)
                listed.get(type(option), []).extend(names)
        group.description = _describe(listed[Silent], listed[Instead])
    return added


def _describe(silent: Sequence[str], refused: Sequence[str]) -> str:
    """The text in a group's help that lists the options which do nothing here."""
    lines = []
    if silent:
        lines.append(f"accepted, without an effect on results: {', '.join(silent)}")
    if refused:
        lines.append(f"answered by a line that says what to use instead: {', '.join(refused)}")
    wide = shutil.get_terminal_size().columns - 4
    return "\n".join(textwrap.fill(line, wide, break_on_hyphens=False) for line in lines)


def apply_options(added: Sequence[Option], arguments: argparse.Namespace) -> list[str]:
    """Changes the arguments as the given options want it; returns the overrides that they stand for."""
    overrides = []
    for option in added:
        value = getattr(arguments, _destination(option), None)
        if value is None:
            continue
        if isinstance(option, Setting):
            overrides.append(f"{option.path}={json.dumps(value)}")
        elif isinstance(option, Switch):
            overrides += option.overrides
        elif isinstance(option, Argument):
            changes = dict(option.change(value))
            overrides += changes.pop("overrides", ())
            for name, changed in changes.items():
                setattr(arguments, name, changed)
    return overrides


def _add(parser: argparse.ArgumentParser, group: Any, option: Option, names: tuple[str, ...]) -> None:
    given = {"dest": _destination(option), "default": None}
    if isinstance(option, Also):
        action = parser._option_string_actions[option.option]
        action.option_strings = [*action.option_strings, *names]
        parser._option_string_actions |= dict.fromkeys(names, action)
    elif isinstance(option, Setting):
        group.add_argument(*names, type=option.type, metavar="VALUE", help=f"{option.path}=VALUE", **given)
    elif isinstance(option, Switch):
        group.add_argument(*names, action="store_const", const=True, help=" ".join(option.overrides), **given)
    elif isinstance(option, Argument) and option.type is not None:
        count = {"nargs": "+"} if option.many else {}
        group.add_argument(*names, type=option.type, metavar="VALUE", help=option.help, **count, **given)
    elif isinstance(option, Argument):
        group.add_argument(*names, action="store_const", const=True, help=option.help, **given)
    elif isinstance(option, Silent) and option.takes_value:
        group.add_argument(*names, metavar="VALUE", help=argparse.SUPPRESS, **given)
    elif isinstance(option, Silent):
        group.add_argument(*names, action="store_const", const=True, help=argparse.SUPPRESS, **given)
    else:
        line = option.line.format(**_name_commands(parser.prog))
        # One that is never taken swallows whatever follows, so that the line comes before any other complaint.
        count = {} if option.harmless else {"nargs": "*"}
        refusal = {"action": _Refusal, "line": line, "harmless": option.harmless}
        group.add_argument(*names, help=argparse.SUPPRESS, **refusal, **count, **given)


def _destination(option: Option) -> str:
    """The name by which argparse keeps the option's value; no argument of ours has such a name."""
    return f"original {option.names[0]}"


def _name_commands(program: str) -> dict[str, str]:
    """Our commands as a user of this one types them, and `module`, this one's as torchrun takes it."""
    package = program.rpartition(".")[0]
    commands = {command: f"{package}.{command}" for command in ("train", "evaluate", "predict", "trace")}
    return commands | {"module": program.rpartition(" ")[2]}
