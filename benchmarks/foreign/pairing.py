"""Which array of a port belongs to which of the reference: by rules, path, content, and kind and position."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from benchmarks.foreign.forms import AS_IT_IS, Form
from benchmarks.foreign.rules import Rules

Way = Literal["path", "rule", "kind and position", "content", "missing", "extra", "passes through", "left out"]
Sure = Literal["sure", "likely", "guessed", ""]


class Arrays(Protocol):
    """What a dump offers for one gate.

    names: the paths of the layers (or of the terms or parameters), in the order of the computation. shapes: by name.
    kinds: the class of each layer, "Conv2d", as far as it is known.
    """

    names: Sequence[str]
    shapes: Mapping[str, tuple[int, ...]]
    kinds: Mapping[str, str]

    def array(self, name: str) -> np.ndarray:
        """The array of a name."""


@dataclass(frozen=True)
class Pair:
    """An array of the reference and what belongs to it in the port.

    ours: the reference's name; "" for what only the port has. theirs: the port's array, or the parts that are joined;
    () for what is missing. way: by what the two were paired, or why they were not. sure: how sure the pair is; "" where
    nothing is paired. recipe: how the port's array is brought to the reference's shape.

    "passes through" is a layer whose output is its input, to the last bit, and that has no partner: it is excused, on
    either side. "left out" is what a rule leaves out.
    """

    ours: str
    theirs: tuple[str, ...]
    way: Way
    sure: Sure = ""
    recipe: Form = AS_IT_IS

    @property
    def form(self) -> str:
        """How the port's array is brought to the reference's shape, in words; "" where it has that shape."""
        return self.recipe.words

    @property
    def compared(self) -> bool:
        """Whether the two are to be held against each other."""
        return bool(self.ours and self.theirs) and self.way not in ("passes through", "left out")


def pair(ours: Arrays, theirs: Arrays, rules: Rules) -> list[Pair]:
    """A pair for every array of the reference, in its order, and after them one for each that only the port has."""
    raise NotImplementedError


def brought(found: Pair, theirs: Arrays, shape: tuple[int, ...]) -> np.ndarray | None:
    """The port's array of a pair in the reference's shape; None where no form fits, which is another shape."""
    return found.recipe.bring([theirs.array(name) for name in found.theirs], shape)
