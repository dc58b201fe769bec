"""Which families of models the benchmarks know."""

from common.config import Settings
from common.errors import UserError

FAMILIES = ("yolact", "mask_rcnn")


def refuse_unwritten(settings: Settings, work: str) -> None:
    """Ends a benchmark that cannot do this work with models of the family yet."""
    if settings.family not in FAMILIES:
        raise UserError(f"{work} of {settings.family} models is not written yet")
