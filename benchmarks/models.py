"""The variants that are compared and measured where none is named."""

from itertools import chain, zip_longest

from common.families import family_named, family_names
from common.models import load_settings


def listed_families() -> tuple[str, ...]:
    """The names of the families whose records list variants."""
    return tuple(name for name in family_names() if family_named(name).models)


def default_models() -> tuple[str, ...]:
    """The variants that the families' records list: the first of each family, then the second, and so on."""
    lists = [family_named(name).models for name in listed_families()]
    return tuple(filter(None, chain.from_iterable(zip_longest(*lists))))


def first_models() -> tuple[str, ...]:
    """The first variant of each family whose record lists some."""
    return tuple(family_named(name).models[0] for name in listed_families())


def tiny_model(model: str) -> str:
    """The small variant of a model's family, which is called after the family."""
    return f"{load_settings(model).family}_tiny"
