"""Typed settings: one YAML file a model variant, the same for the three frameworks.

A file may name another as its `base` and give only what differs. Overrides from the command line are `key.path=value`.
`common.models.load_settings` makes a variant's settings of such a file, in the class of its family.
"""

from common.config.reading import CONFIG_FOLDER, model_names, read_variant
from common.config.sections import (
    AnnotationFile,
    BackboneSettings,
    ConvNetSettings,
    DarknetSettings,
    DataKind,
    FreeSizePreprocessing,
    FrozenNorm,
    Preprocessing,
    ResNetSettings,
    Schedule,
    Section,
    Settings,
    SwinSettings,
)

__all__ = [
    "CONFIG_FOLDER",
    "AnnotationFile",
    "BackboneSettings",
    "ConvNetSettings",
    "DarknetSettings",
    "DataKind",
    "FreeSizePreprocessing",
    "FrozenNorm",
    "Preprocessing",
    "ResNetSettings",
    "Schedule",
    "Section",
    "Settings",
    "SwinSettings",
    "model_names",
    "read_variant",
]
