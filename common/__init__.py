"""Everything that the three wings share and that is not network. Nothing here imports a framework."""

from pkgutil import extend_path

# Folders of this name elsewhere on Python's path join in, so that a family may lie outside of this project.
__path__ = extend_path(__path__, __name__)
