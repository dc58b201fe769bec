"""The weights of the model families: one file a family, which says how its arrays are called here and upstream.

A family's file is called as its folder in `common/families` and holds its record `WEIGHTS`. A family without such a
file can be converted between the frameworks all the same: the names and shapes of its arrays are what its network has.
"""

import importlib
import importlib.util
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pkgutil import extend_path

import numpy as np

from common.config import Settings
from common.data.class_names import class_names
from weights_convert import state_dicts
from weights_convert.finetuning import ClassRows
from weights_convert.state_dicts import Entry, Shapes, Weights

# A family may also lie outside of this project: see CONTRIBUTING.md.
__path__ = extend_path(__path__, __name__)

# The state dict of a model in the files of an upstream.
Layout = Callable[[Settings], Iterable[Entry]]


def _no_layouts(settings: Settings) -> dict[str, Layout]:
    return {}


def _no_class_heads(settings: Settings) -> dict[str, ClassRows]:
    return {}


def _as_they_are(weights: Weights, settings: Settings) -> Weights:
    return weights


@dataclass(frozen=True)
class Base:
    """A family whose weights another one, which stands on it, may start training from.

    name: the family's. settings: the other family's settings -> those of a model of this one that has the same parts.
    left: how the canonical names begin of its arrays that the other family's networks have no place for.
    added: how those begin of the arrays that the other family's networks have beside it.
    """

    name: str
    settings: Callable[[Settings], Settings]
    left: tuple[str, ...]
    added: tuple[str, ...]


@dataclass(frozen=True)
class FamilyWeights:
    """The facts about a family's weights that the converter needs.

    layouts: settings -> the state dicts that the model has upstream, by the upstream's name; the original's comes
        first, and the canonical arrays are those that it has, in its order.
    heads: how the canonical names begin of the layers whose size follows from the number of classes; * stands for the
        number of one of several that are alike.
    class_heads: settings -> those of them whose rows belong to classes, by how the names of their arrays begin.
    class_bias: the canonical name of the array in one of them by whose length the classes are counted.
    class_names: the number of classes -> the names of those that published weights know.
    read_backbone: ImageNet weights of the backbone alone, settings and the file's name for errors -> canonical arrays.
    backbone: how the canonical names of the backbone's arrays begin.
    added_to_backbone: a regular expression for the backbone's arrays that ImageNet weights do not have.
    complete: canonical arrays of an upstream's file, settings -> the arrays with what a variant of the original lacks
        that computes the same without.
    base: the family that this one stands on, whose weights training may start from.
    """

    layouts: Callable[[Settings], Mapping[str, Layout]] = _no_layouts
    heads: tuple[str, ...] = ()
    class_heads: Callable[[Settings], Mapping[str, ClassRows]] = _no_class_heads
    class_bias: str | None = None
    class_names: Callable[[int], tuple[str, ...]] = class_names
    read_backbone: Callable[[Mapping[str, np.ndarray], Settings, str], Weights] | None = None
    backbone: tuple[str, ...] = ("backbone.",)
    added_to_backbone: str = r"(?!)"  # fits nothing
    complete: Callable[[Weights, Settings], Weights] = _as_they_are
    base: Base | None = None

    def is_head(self, name: str) -> bool:
        """Whether the array of this canonical name belongs to a layer whose size follows from the number of classes."""
        return self._head_names.match(name) is not None

    @cached_property
    def _head_names(self) -> re.Pattern[str]:
        alternatives = [re.escape(head).replace(r"\*", r"\d+") for head in self.heads]
        return re.compile("|".join(alternatives) or r"(?!)")

    def layout(self, settings: Settings, upstream: str) -> list[Entry]:
        """The model's state dict in the files of an upstream that has it, in the upstream's order."""
        return list(self.layouts(settings)[upstream](settings))

    def original(self, settings: Settings) -> str | None:
        """The name of the upstream that the model is from; None where no upstream has it."""
        return next(iter(self.layouts(settings)), None)

    def canonical_shapes(self, settings: Settings) -> dict[str, tuple[int, ...]] | None:
        """The shape of every canonical array of a model, in the original's order; None where only its network tells."""
        original = self.original(settings)
        return None if original is None else state_dicts.shapes_of(self.layout(settings, original))

    def count_classes(self, arrays: Mapping[str, np.ndarray], settings: Settings, upstream: str) -> int | None:
        """The number of classes, without the background, that arrays were made for.

        They have the names of the upstream's files, or canonical ones where the upstream has no layout of the model.
        """
        if self.class_bias is None:
            return None
        name = self.class_bias
        if upstream in self.layouts(settings):
            name = next(e.original for e in self.layout(settings, upstream) if e.canonical == self.class_bias)
        bias = arrays.get(name)
        if bias is None or bias.ndim != 1:
            return None
        heads = self.class_heads(settings)
        rows = next(rows for prefix, rows in heads.items() if self.class_bias.startswith(prefix))
        return rows.classes_in(len(bias))

    def fit_for_finetuning(
        self, weights: Mapping[str, np.ndarray], shapes: Shapes, origin: str
    ) -> tuple[Weights, list[str]]:
        """The weights that training can start from, and the names it must do without: heads of another size.

        A file of the backbone alone is one to start from too, and one of the family that this one stands on. Whatever
        else is missing, left over or of another shape is refused.
        """
        return state_dicts.fit_for_finetuning(weights, shapes, origin, self.is_head, self.dispensable(weights, shapes))

    def dispensable(self, weights: Iterable[str], shapes: Iterable[str]) -> set[str]:
        """The names in `shapes` that a file of the backbone alone, or of the base, lacks; none for any other file."""
        names = list(weights)
        if not all(name.startswith(self.backbone) for name in names):
            is_of_base = self.base and not any(name.startswith(self.base.added) for name in names)
            return {name for name in shapes if name.startswith(self.base.added)} if is_of_base else set()
        return {
            name
            for name in shapes
            if not name.startswith(self.backbone) or re.fullmatch(self.added_to_backbone, name) is not None
        }


def family_of(settings: Settings) -> FamilyWeights:
    """The record of the weights of a model's family."""
    return family_named(settings.family)


def family_named(name: str) -> FamilyWeights:
    """The record of the weights of the family of this name; one that knows nothing where it has no file here."""
    module = f"{__name__}.{name}"
    if importlib.util.find_spec(module) is None:
        return FamilyWeights()
    return importlib.import_module(module).WEIGHTS
