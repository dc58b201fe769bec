"""The frameworks that are measured and compared, and how they are chosen."""

from common.errors import UserError

FRAMEWORKS = ("torch", "jittor", "mindspore")


def chosen_frameworks(text: str) -> tuple[str, ...]:
    """The value of `--frameworks`: names with commas in between."""
    names = tuple(text.split(","))
    unknown = [name for name in names if name not in FRAMEWORKS]
    if unknown:
        raise UserError(f"--frameworks {unknown[0]}: there are {', '.join(FRAMEWORKS)}")
    return names
