"""From a variant's name and overrides to its settings."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from common.config.mask_rcnn import MaskRcnnSettings
from common.config.pose2seg import Pose2SegSettings
from common.config.yolact import YolactSettings
from common.errors import UserError

CONFIG_FOLDER = Path(__file__).parents[1] / "configs"

Settings = YolactSettings | MaskRcnnSettings | Pose2SegSettings
_FAMILIES: dict[str, type[Settings]] = {
    "yolact": YolactSettings,
    "mask_rcnn": MaskRcnnSettings,
    "pose2seg": Pose2SegSettings,
}


def model_names() -> list[str]:
    """Every variant that stands in the folder of configurations."""
    return sorted(path.stem for path in CONFIG_FOLDER.glob("*.yaml"))


def load_settings(model: str, overrides: Sequence[str] = ()) -> Settings:
    """The settings of a variant: its name, an original's name for it, or a path to a YAML file."""
    path = _find(model)
    values = _with_bases(path, ())
    for override in overrides:
        _apply(values, override)
    return settings_from(values | {"model": path.stem}, str(path))


def settings_from(values: dict[str, Any], origin: str) -> Settings:
    """Checks a plain dictionary; `origin` says in an error where it came from."""
    family = _FAMILIES.get(values.get("family"))
    if family is None:
        raise UserError(f"{origin}: family: {values.get('family')!r} is none of {', '.join(_FAMILIES)}")
    try:
        return family.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        if not key:  # of the settings as a whole
            raise UserError(f"{origin}: {first['ctx']['error']}") from None
        if first["type"] == "extra_forbidden":
            raise UserError(f"{origin}: unknown key {key}") from None
        raise UserError(f"{origin}: {key}: {first['msg']} (got {first.get('input')!r})") from None


def _find(model: str) -> Path:
    if model.endswith((".yaml", ".yml")):
        path = Path(model)
        if not path.is_file():
            raise UserError(f"settings file not found: {model}")
        return path
    path = CONFIG_FOLDER / f"{model}.yaml"
    if path.is_file():
        return path
    for path in sorted(CONFIG_FOLDER.glob("*.yaml")):
        if model in _read(path).get("aliases", ()):
            return path
    raise UserError(f"unknown model {model}; there are {', '.join(model_names())}")


def _read(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not valid YAML: {error}") from None
    if not isinstance(values, dict):
        raise UserError(f"{path}: the file holds no settings")
    return values


def _with_bases(path: Path, seen: tuple[Path, ...]) -> dict[str, Any]:
    if path in seen:
        raise UserError(f"{path}: its base leads back to itself")
    values = _read(path)
    base = values.pop("base", None)
    if base is None:
        return values
    base_path = path.parent / f"{base}.yaml"
    inherited = _with_bases(base_path if base_path.is_file() else _find(base), (*seen, path))
    inherited.pop("aliases", None)
    return _merged(inherited, values)


def _merged(inherited: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """`values` over `inherited`, section by section; a section that names another `kind` starts afresh."""
    if "kind" in values and values["kind"] != inherited.get("kind"):
        return values
    merged = dict(inherited)
    for key, value in values.items():
        both = isinstance(value, dict) and isinstance(inherited.get(key), dict)
        merged[key] = _merged(inherited[key], value) if both else value
    return merged


def _apply(values: dict[str, Any], override: str) -> None:
    path, equals, text = override.partition("=")
    if not equals:
        raise UserError(f"override {override!r} is not of the form key.path=value")
    *sections, key = path.split(".")
    for section in sections:
        values = values.setdefault(section, {})
        if not isinstance(values, dict):
            raise UserError(f"override {override!r}: {section} is not a section")
    values[key] = yaml.safe_load(text)
