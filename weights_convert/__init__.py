"""Upstream checkpoint formats -> canonical weights -> any of the three frameworks, and back. Needs no framework."""

from pkgutil import extend_path

# A family outside of this project may bring its converter; before the imports, which look for it.
__path__ = extend_path(__path__, __name__)

from weights_convert.conversion import convert, model_of, open_weights
from weights_convert.families import family_of
from weights_convert.readers import read_foreign
from weights_convert.training import fit_for_training

__all__ = ["convert", "family_of", "fit_for_training", "model_of", "open_weights", "read_foreign"]
