"""A checkpoint of any known kind -> canonical weights and their card -> a file of any framework."""

import os
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np

from common import weights as canonical
from common.config import Settings, model_names
from common.data.class_names import category_ids
from common.errors import UserError
from common.models import load_settings
from common.weights import Card
from weights_convert.families import family_of
from weights_convert.formats import Format
from weights_convert.frameworks import CANONICAL, FRAMEWORKS
from weights_convert.readers import read_foreign
from weights_convert.state_dicts import Weights, without_prefix
from weights_convert.upstreams import upstreams


def formats() -> dict[str, Format]:
    """All kinds of files by their names: the project's own, then the upstreams'."""
    return {each.name: each for each in (*FRAMEWORKS, *upstreams())}


def original_format(settings: Settings) -> str | None:
    """The name of the format that a variant's original has; None where no upstream has the variant."""
    return family_of(settings).original(settings)


def target_formats(model: str) -> dict[str, tuple[str, ...]]:
    """The formats that a model can be written in, each with the endings that its readers insist on."""
    settings = load_settings(model)
    return {name: each.endings for name, each in formats().items() if each.write and each.serves(settings)}


def convert(
    source: str | os.PathLike, model: str | None = None, source_format: str | None = None
) -> tuple[Weights, Card]:
    """Canonical weights from any file, checked name by name and shape by shape against the model that they are of.

    The model is `model`, or what the card or the file's name says, or the only one that the arrays fit. ImageNet
    weights give the backbone's part alone. Where only a model's network tells its arrays, they are taken as they are.
    """
    path = Path(source)
    arrays, card = _read(path)
    name = model or (card.model if card else None) or _named_model(path)
    settings = load_settings(name) if name else None
    found = _format(arrays, path, source_format, settings)
    settings = _with_classes_of(arrays, found, settings or load_settings(_only_fitting(arrays, found, path)))
    if card and model:
        canonical.check_card(card, settings, str(path))
    weights = _canonical(arrays, found, settings, str(path))
    shapes = family_of(settings).canonical_shapes(settings)
    if shapes is not None:
        # The names are checked by now, and all shapes but the heads'.
        canonical.check_fit(weights, {name: s for name, s in shapes.items() if name in weights}, str(path))
    if card is None:
        card = _card(path, found, settings).model_copy(update={"numerics": settings.numerics()})
    return weights, card


def open_weights(path: str | os.PathLike, settings: Settings) -> tuple[Weights, Card]:
    """The weights that `--weights` names: a canonical file, a framework's checkpoint or an upstream one.

    The heads may be of another size than the settings' and ImageNet weights are the backbone's alone: `check_card` and
    `check_fit` (to evaluate) or the family's `fit_for_finetuning` (to train) are the caller's.
    """
    path = Path(path)
    arrays, card = _read(path)
    found = _format(arrays, path, None, settings)
    if card is None:
        named = _named_model(path)
        own = _with_classes_of(arrays, found, load_settings(named) if named else settings)
        card = _card(path, found, own)
    return _canonical(arrays, found, settings, str(path), card), card


def model_of(path: str | os.PathLike) -> str | None:
    """The variant that a checkpoint's card or else its name tells."""
    path = Path(path)
    if canonical.card_path(path).is_file():
        return canonical.load_card(path).model
    return _named_model(path)


def write(dest: str | os.PathLike, weights: Weights, card: Card, target_format: str, model: str | None = None) -> None:
    """Writes `dest` and its card, reads the file again and compares it to the bit."""
    path, target = Path(dest), formats()[target_format]
    if path.suffix not in target.endings:
        raise UserError(f"{path}: a file for {target.name} ends in {' or '.join(target.endings)}")
    settings = _with_classes_of(weights, CANONICAL, load_settings(model or card.model))
    if not target.serves(settings):
        original = original_format(settings)
        own = f"has the form of {original}" if original else "is of no upstream"
        raise UserError(f"{path}: {settings.model} {own}, not of {target.name}")
    written = target.write(weights, settings, str(path))
    if target is CANONICAL:
        canonical.save(path, written, card)
    else:
        target.save(path, written, *([card.classes] if target.saves_classes else []))
        canonical.save_card(path, card)
    fault = canonical.compare_weights(read_foreign(path), written)
    if fault:
        raise UserError(f"{path}: what was written reads back otherwise: {fault}")


def _read(path: Path) -> tuple[Weights, Card | None]:
    """The arrays under the file's own names, and the card where one lies beside."""
    has_card = canonical.card_path(path).is_file()
    if path.suffix == ".safetensors" and has_card:
        return canonical.load(path)
    arrays = without_prefix(read_foreign(path))
    return arrays, canonical.load_card(path) if has_card else None


def _format(arrays: Collection[str], path: Path, chosen: str | None, settings: Settings | None) -> Format:
    """The format of a file: the chosen one, or the only one that its arrays' names are recognised by."""
    is_canonical_file = path.suffix == ".safetensors" and canonical.card_path(path).is_file()
    if chosen or is_canonical_file:
        return formats()[chosen or CANONICAL.name]
    found = _recognised(arrays, path, settings)
    if path.suffix == ".safetensors" and found is CANONICAL:
        canonical.load_card(path)  # says that it is missing
    return found


def _recognised(names: Collection[str], path: Path, settings: Settings | None) -> Format:
    """The format that recognises arrays of these names; an upstream knows its files better than a framework does.

    Names that no format knows may be those of a model whose arrays only its network tells.
    """
    known = [
        [each for each in kind if each.recognises and each.recognises(names)] for kind in (upstreams(), FRAMEWORKS)
    ]
    found = known[0] or known[1]
    if len(found) > 1:
        which = " or ".join(each.name for each in found)
        raise UserError(f"{path}: its names could be those of {which}; convert it with --from")
    if found:
        return found[0]
    if settings is not None and family_of(settings).canonical_shapes(settings) is None:
        return CANONICAL
    raise UserError(f"{path}: its names belong to no known model: {', '.join(list(names)[:3])} ...")


def _canonical(arrays: Weights, source: Format, settings: Settings, origin: str, card: Card | None = None) -> Weights:
    """The arrays under canonical names as float32; what does not fit is named, or else the variant that it fits.

    card: where one is given the arrays may be of the family that the settings' own stands on.
    """
    try:
        weights = _renamed(arrays, source, settings, origin)
    except UserError:
        weights = None if card is None else _read_as_base(arrays, source, settings, origin, card)
        if weights is None:
            others = _fitting(arrays, source)
            if not others or settings.model in others:  # its own name: the settings were changed
                raise
            known = " or ".join(_different(others))
            raise UserError(f"{origin}: these are weights of {known}, not of {settings.model}") from None
    return {name: _float32(array, f"{origin}: {name}") for name, array in weights.items()}


def _read_as_base(arrays: Weights, source: Format, settings: Settings, origin: str, card: Card) -> Weights | None:
    """What training takes over of a file of the family that the settings' own stands on; None for any other file."""
    base = family_of(settings).base
    if base is None or not source.serves(base.settings(settings)):
        return None
    own = base.settings(settings)
    try:
        weights = _renamed(arrays, source, own, origin)
    except UserError:
        return None
    canonical.check_card(card, own.model_copy(update={"num_classes": len(card.classes)}), origin)
    return {name: array for name, array in weights.items() if not name.startswith(base.left)}


def _renamed(arrays: Weights, source: Format, settings: Settings, origin: str) -> Weights:
    if not source.serves(settings):
        raise UserError(f"{origin}: a file of {source.name}, which {settings.model} is not from")
    return source.read(arrays, settings, origin)


def _float32(array: np.ndarray, what: str) -> np.ndarray:
    if array.dtype.kind != "f":
        raise UserError(f"{what} is {array.dtype}, which no weight is")
    return array.astype(np.float32)


def _fitting(arrays: Weights, source: Format) -> list[str]:
    """The models that the arrays fit, whatever the number of classes; of those whose arrays are known."""
    fitting = []
    for name in model_names():
        settings = load_settings(name)
        if not source.serves(settings):
            continue
        settings = _with_classes_of(arrays, source, settings)
        family = family_of(settings)
        shapes = family.canonical_shapes(settings)
        if shapes is None:
            continue
        try:
            weights = _renamed(arrays, source, settings, name)
        except UserError:
            continue
        _, misfits = family.fit_for_finetuning(weights, shapes, name)
        if not misfits:
            fitting.append(name)
    return fitting


def _only_fitting(arrays: Weights, source: Format, path: Path) -> str:
    """The model that the arrays fit; of several, the one that has as many classes by itself."""
    fitting = _different(_fitting(arrays, source))
    if len(fitting) > 1:
        settings = {name: load_settings(name) for name in fitting}
        own = [name for name, each in settings.items() if _with_classes_of(arrays, source, each) == each]
        fitting = own if len(own) == 1 else fitting
    if len(fitting) != 1:
        which = f"could be {', '.join(fitting)}" if fitting else "fits no model"
        raise UserError(f"{path}: {which}; say which with --model")
    return fitting[0]


def _different(models: Sequence[str]) -> list[str]:
    """The first of all models that differ in name and training alone: weights do not tell them apart."""
    first = {}
    for name in models:
        settings = load_settings(name)
        excluded = {key: True for key in ("model", "aliases", "schedule", "augmentation") if hasattr(settings, key)}
        without = settings.model_dump_json(exclude=excluded | {"network": set(settings.training_keys)})
        first.setdefault(without, name)
    return list(first.values())


def _with_classes_of(arrays: Mapping[str, np.ndarray], source: Format, settings: Settings) -> Settings:
    """The settings with the number of classes that a checkpoint was made for."""
    if not source.serves(settings):
        return settings
    classes = family_of(settings).count_classes(arrays, settings, source.name)
    return settings.with_classes(classes) if classes else settings


def _card(path: Path, source: Format, settings: Settings) -> Card:
    classes = family_of(settings).class_names(settings.num_classes)
    return Card(
        model=settings.model,
        source=path.name,
        sha256=canonical.file_sha256(path),
        licence=source.licence,
        preprocessing=settings.preprocessing,
        classes=classes,
        category_ids=category_ids(classes),
        iteration=_named_iteration(path),
    )


def _named_facts(path: Path) -> list[dict[str, str]]:
    """Reads a file's name as each upstream whose pattern fits names its files: the groups `model` and `iteration`."""
    patterns = [pattern for each in upstreams() for pattern in each.file_names]
    return [match.groupdict() for pattern in patterns if (match := re.fullmatch(pattern, path.stem))]


def _named_model(path: Path) -> str | None:
    """The model that a file's name tells; None where it tells none."""
    names = [path.stem, *(facts["model"] for facts in _named_facts(path) if "model" in facts)]
    return next((model for model in map(_known, names) if model), None)


def _named_iteration(path: Path) -> int | None:
    """The iteration that a file's name tells; None where it tells none."""
    return next((int(facts["iteration"]) for facts in _named_facts(path) if "iteration" in facts), None)


def _known(name: str) -> str | None:
    """The model of this name, which may be an original's."""
    if name in model_names():
        return name
    return next((model for model in model_names() if name in load_settings(model).aliases), None)
