"""Reading the YAML file of a variant, with the files that it is based on and what overrides it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from common.errors import UserError

# Both read alike; the one in C, which some builds of PyYAML lack, is seven times as fast.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
CONFIG_FOLDER = Path(__file__).parents[1] / "configs"


def model_names() -> list[str]:
    """The names of all variants in the folder of configurations."""
    return sorted(path.stem for path in CONFIG_FOLDER.glob("*.yaml"))


def read_variant(model: str, overrides: Sequence[str] = ()) -> tuple[dict[str, Any], Path]:
    """Reads the values of a variant, which its family has yet to check, and gives them with their file's path.

    model: a variant's name, an original's name for it, or a path to a YAML file; overrides: as key.path=value.
    """
    path = _find(model)
    values = _read_with_bases(path, ())
    for override in overrides:
        _apply(values, override)
    return values | {"model": path.stem}, path


def _find(model: str) -> Path:
    """Finds the file of a variant by its name, an original's name for it, or the file's own path."""
    if model.endswith((".yaml", ".yml")):
        path = Path(model)
        if not path.is_file():
            raise UserError(f"settings file not found: {model}")
        return path
    if model.endswith(".py"):
        known = _find_named(Path(model).stem)
        instead = f"give the model {known.stem}, which stands for it" if known else "give a model by its name"
        raise UserError(f"{model}: settings that are a program are not run; {instead}")
    path = _find_named(model)
    if path is None:
        raise UserError(f"unknown model {model}; there are {', '.join(model_names())}")
    return path


def _find_named(name: str) -> Path | None:
    """The file of a variant of this name, which may be an original's; None if there is none."""
    path = CONFIG_FOLDER / f"{name}.yaml"
    if path.is_file():
        return path
    return next((path for path in sorted(CONFIG_FOLDER.glob("*.yaml")) if name in _read(path).get("aliases", ())), None)


def _read(path: Path) -> dict[str, Any]:
    """Reads one YAML file."""
    try:
        values = yaml.load(path.read_text(), _LOADER)
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not valid YAML: {error}") from None
    if not isinstance(values, dict):
        raise UserError(f"{path}: the file holds no settings")
    return values


def _read_with_bases(path: Path, seen: tuple[Path, ...]) -> dict[str, Any]:
    """Reads a file over the files that it is based on; `seen` are the files whose base it is."""
    if path in seen:
        raise UserError(f"{path}: its base leads back to itself")
    values = _read(path)
    base = values.pop("base", None)
    if base is None:
        return values
    base_path = path.parent / f"{base}.yaml"
    inherited = _read_with_bases(base_path if base_path.is_file() else _find(base), (*seen, path))
    inherited.pop("aliases", None)
    return _merge(inherited, values)


def _merge(inherited: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """Lays `values` over `inherited`, section by section; a section that names another `kind` starts afresh."""
    if "kind" in values and values["kind"] != inherited.get("kind"):
        return values
    merged = dict(inherited)
    for key, value in values.items():
        both = isinstance(value, dict) and isinstance(inherited.get(key), dict)
        merged[key] = _merge(inherited[key], value) if both else value
    return merged


def _apply(values: dict[str, Any], override: str) -> None:
    """Writes what an override `key.path=value` says into the values."""
    path, equals, text = override.partition("=")
    if not equals:
        raise UserError(f"override {override!r} is not of the form key.path=value")
    *sections, key = path.split(".")
    for section in sections:
        values = values.setdefault(section, {})
        if not isinstance(values, dict):
            raise UserError(f"override {override!r}: {section} is not a section")
    values[key] = yaml.safe_load(text)
