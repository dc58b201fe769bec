r"""`map.json`: what a user says about the names of two dumps.

    {
        "encoder\\.(\\d+)\\.norm": "layers.\\1.bn",                 the port's name: the reference's
        "layers\\.(\\d+)\\.qkv": ["at.\\1.q", "at.\\1.k", "at.\\1.v"],  the reference's: the port's, joined
        "attention": {"split": ["q", "k", "v"], "axis": 2},          the port's: parts of it, the reference's
        "tokens": {"is": "map", "permute": [0, 3, 1, 2]},            the port's axes in another order
        "debug\\..*": null                                           left out, on either side
    }

A key is a name, or else a regular expression that fits the whole of a name; `\1` stands for its first group. Rules of
one name go before those of many. A rule for a layer serves its parameters too: what is said of `norm` is said of
`norm.weight`.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common.errors import UserError
from common.files import read_json

# The last part of a parameter's name, with which a rule for its layer serves the parameter.
PARAMETERS = {
    "weight",
    "bias",
    "gamma",
    "beta",
    "running_mean",
    "running_var",
    "moving_mean",
    "moving_variance",
    "num_batches_tracked",
    "kernel",
    "scale",
    "mean",
    "var",
}
KEYS = {"is", "join", "split", "axis", "permute", "reshape"}


@dataclass(frozen=True)
class Shaping:
    """What a rule says of the shape: the axis of a join or split, and how the axes are put and the array is reshaped.

    The axes are permuted first, then the array is reshaped; None for what the rule does not say.
    """

    axis: int | None = None
    permute: tuple[int, ...] | None = None
    reshape: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Ruled:
    """What a rule comes to. One name of each side: a renamed array; several of theirs: a join; of ours: a split."""

    ours: tuple[str, ...]
    theirs: tuple[str, ...]
    shaping: Shaping = Shaping()


@dataclass(frozen=True)
class Rules:
    """The rules of a `map.json`.

    content: as the file has it, {key: value}. path: the file, for messages.
    """

    content: Mapping[str, Any] = field(default_factory=dict)
    path: Path = Path("map.json")

    def apply(self, ours: Sequence[str], theirs: Sequence[str]) -> list[Ruled]:
        """What the rules say of the names that two dumps have; a name that one rule has taken is no other rule's."""
        found, taken_ours, taken_theirs = [], set(self.left_out(ours)), set(self.left_out(theirs))
        for key, value in self._exact_first(ours, theirs):
            for ruled in _ruled(key, value, ours, theirs):
                known = set(ruled.ours) <= set(ours) and set(ruled.theirs) <= set(theirs)
                if known and not taken_ours & set(ruled.ours) and not taken_theirs & set(ruled.theirs):
                    found.append(ruled)
                    taken_ours |= set(ruled.ours)
                    taken_theirs |= set(ruled.theirs)
        return found

    def left_out(self, names: Iterable[str]) -> list[str]:
        """The names, of whichever side, that a rule leaves out."""
        nulls = [key for key, value in self.content.items() if value is None]
        return [name for name in names if any(_fit(key, name) is not None for key in nulls)]

    def _exact_first(self, ours: Sequence[str], theirs: Sequence[str]) -> list[tuple[str, Any]]:
        """The rules but for those that leave out: those of one name go before those of many."""
        rules = [(key, value) for key, value in self.content.items() if value is not None]
        names = {*ours, *theirs}
        return sorted(rules, key=lambda rule: rule[0] not in names)


NO_RULES = Rules()


def read_rules(path: Path) -> Rules:
    """The rules of a file; none where there is no such file."""
    path = Path(path)
    if not path.is_file():
        return Rules(path=path)
    content = read_json(path)
    if not isinstance(content, dict):
        raise UserError(f'{path}: not an object of rules, {{"theirs": "ours"}}')
    for key, value in content.items():
        _check_rule(path, key, value)
    return Rules(content, path)


def check_rules(rules: Rules, ours: Sequence[str], theirs: Sequence[str]) -> None:
    """Refuses a rule that fits no name at all, that names what is not there, or two that name one array.

    ours, theirs: the names of everything that the two dumps have, in all gates together.
    """
    sides = {"ours": set(ours), "theirs": set(theirs)}
    said: dict[str, str] = {}
    for key, value in rules.content.items():
        if value is None:
            if not rules.left_out([*ours, *theirs]) or not any(
                _fit(key, name) is not None for name in [*ours, *theirs]
            ):
                raise UserError(f"{rules.path}: {key!r}, which is to be left out, is in neither of the two dumps")
            continue
        found = list(_ruled(key, value, ours, theirs))
        if not found:
            whose = "the reference" if _names_ours(value) else "the port"
            raise UserError(f"{rules.path}: {key!r} fits nothing in {whose}, which has {shorten(_side(value, sides))}")
        whole = [each for each in found if not _absent(each, sides)]
        if not whole:
            side, name = _absent(found[0], sides)[0]
            raise UserError(f"{rules.path}: {key!r} names {name!r}, which is not in {side}")
        for each in whole:
            for name in each.ours:
                if name in said and said[name] != key and key in sides["theirs"] and said[name] in sides["theirs"]:
                    raise UserError(f"{rules.path}: two arrays are said to be {name!r}: {said[name]!r} and {key!r}")
                said.setdefault(name, key)


def shorten(names: Iterable[str], shown: int = 4) -> str:
    """The first few of the names, and the number of the others, in one line."""
    names = list(names)
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return (", ".join(names[:shown]) or "nothing") + more


def _ruled(key: str, value: Any, ours: Sequence[str], theirs: Sequence[str]) -> Iterable[Ruled]:
    """What one rule says of each name that fits it, whether or not the names that it gives are there."""
    given = value if isinstance(value, dict) else {"is": value} if isinstance(value, str) else {"join": value}
    shaping = Shaping(given.get("axis"), _tuple(given.get("permute")), _tuple(given.get("reshape")))
    for name in ours if "join" in given else theirs:
        fitted = _fit(key, name)
        if fitted is None:
            continue
        if "join" in given:
            yield Ruled((name,), tuple(fitted(part) for part in given["join"]), shaping)
        else:
            parts = given.get("split", [given.get("is", name)])
            yield Ruled(tuple(fitted(part) for part in parts), (name,), shaping)


class _Fitted:
    """Turns a rule's text into the name that it stands for, for one name that the rule's key fits."""

    def __init__(self, match: re.Match | None, leaf: str):
        self._match, self._leaf = match, leaf

    def __call__(self, text: str) -> str:
        return (self._match.expand(text) if self._match else text) + self._leaf


def _fit(key: str, name: str) -> _Fitted | None:
    """How a key fits a name, or the name's layer where it is a parameter's; None where it does not."""
    layer, _, leaf = name.rpartition(".")
    for whole, rest in ((name, ""), (layer, f".{leaf}")) if leaf in PARAMETERS and layer else ((name, ""),):
        if key == whole:
            return _Fitted(None, rest)
        if match := re.fullmatch(key, whole):
            return _Fitted(match, rest)
    return None


def _check_rule(path: Path, key: str, value: Any) -> None:
    try:
        groups = re.compile(key).groups
    except re.error as error:
        raise UserError(f"{path}: {key!r} is no regular expression: {error}") from None
    texts = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    if isinstance(value, dict):
        if unknown := set(value) - KEYS:
            raise UserError(f"{path}: {key!r}: {sorted(unknown)[0]!r} is none of {', '.join(sorted(KEYS))}")
        if sum(word in value for word in ("is", "join", "split")) > 1:
            raise UserError(f"{path}: {key!r}: only one of is, join and split can hold")
        texts = [value["is"]] if "is" in value else value.get("join", value.get("split", []))
        _check_numbers(path, key, value)
    elif value is not None and not texts:
        raise UserError(f"{path}: {key!r}: {value!r} is neither a name, a list of names, an object nor null")
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise UserError(f"{path}: {key!r}: {texts!r} are not names")
    for text in texts:
        if any(int(number) > groups for number in re.findall(r"\\(\d+)", text)):
            raise UserError(f"{path}: {key!r} has {groups} groups, and {text!r} asks for another")


def _check_numbers(path: Path, key: str, value: dict) -> None:
    """Checks axis, permute and reshape."""
    if not isinstance(value.get("axis", 0), int):
        raise UserError(f"{path}: {key!r}: axis {value['axis']!r} is no whole number")
    for word in ("permute", "reshape"):
        numbers = value.get(word, [])
        if not isinstance(numbers, list) or not all(isinstance(number, int) for number in numbers):
            raise UserError(f"{path}: {key!r}: {word} {numbers!r} is no list of whole numbers")
    if sorted(value.get("permute", [])) != list(range(len(value.get("permute", [])))):
        raise UserError(f"{path}: {key!r}: permute {value['permute']!r} does not name each axis once")


def _names_ours(value: Any) -> bool:
    """Whether a rule's key is a name of the reference: that of a join is."""
    return isinstance(value, list) or (isinstance(value, dict) and "join" in value)


def _side(value: Any, sides: Mapping[str, set[str]]) -> list[str]:
    return sorted(sides["ours" if _names_ours(value) else "theirs"])


def _absent(ruled: Ruled, sides: Mapping[str, set[str]]) -> list[tuple[str, str]]:
    """(which dump, name) of what a rule names and the dump does not have."""
    absent = [("the reference", name) for name in ruled.ours if name not in sides["ours"]]
    return absent + [("the port", name) for name in ruled.theirs if name not in sides["theirs"]]


def _tuple(numbers: list[int] | None) -> tuple[int, ...] | None:
    return None if numbers is None else tuple(numbers)
