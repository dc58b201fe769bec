"""What the three wings share: everything that is not network, and imports no framework."""

from pkgutil import extend_path

# Folders of this name elsewhere on Python's path join in, so that a family may lie outside of this project.
__path__ = extend_path(__path__, __name__)
