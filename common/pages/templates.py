"""Opens the templates of pages; `base.css` here is the style that all of them include."""

from pathlib import Path
from typing import Any

from common.packages import import_package

PURPOSE = "the page of a report"


def require_templates() -> None:
    """Raises a `MissingPackage` where the package that makes pages is not installed."""
    import_package("jinja2", "jinja2", PURPOSE)


def open_template(path: Path, **names: Any) -> Any:
    """The template in a file, which includes others from its own folder and from this one.

    names: what it may use beside what it is rendered with. A name that it is not given is an error.
    """
    jinja2 = import_package("jinja2", "jinja2", PURPOSE)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([path.parent, Path(__file__).parent]),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.globals |= names
    return environment.get_template(path.name)
