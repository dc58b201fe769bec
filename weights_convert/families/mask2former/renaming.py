"""The arrays of Mask2Former's decoders under other names than the original's."""

import re
from collections.abc import Iterator, Mapping

from common.families.mask2former.settings import Mask2FormerSettings
from weights_convert.families.mask2former.original import decoders
from weights_convert.state_dicts import Entry

# How names begin, as regular expressions, and what stands there instead; the first that fits counts.
Names = Mapping[str, str]


def renamed(settings: Mask2FormerSettings, names: Names) -> Iterator[Entry]:
    """Everything behind the backbone, in the original's order."""
    for entry in decoders(settings):
        yield entry._replace(original=rename(entry.canonical, names))


def rename(name: str, names: Names) -> str:
    """The other name of an array; there must be one."""
    pattern = next(pattern for pattern in names if re.match(rf"{pattern}(\.|$)", name))
    return re.sub(rf"^{pattern}", names[pattern], name)
