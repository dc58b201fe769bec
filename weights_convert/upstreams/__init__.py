"""The upstreams whose checkpoint files are known, one file each, which holds the upstream's record `UPSTREAM`."""

import importlib
import pkgutil

from weights_convert.formats import Format

# A family outside of this project may bring its upstream: see CONTRIBUTING.md.
__path__ = pkgutil.extend_path(__path__, __name__)


def upstreams() -> tuple[Format, ...]:
    """The records of all upstreams: those in this folder, and in others that the package's search path names."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return tuple(importlib.import_module(f"{__name__}.{name}").UPSTREAM for name in names)
