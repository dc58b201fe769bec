"""Answers a user's mistakes with one line and exit code 2, never with a traceback."""

import sys
from collections.abc import Callable


class UserError(Exception):
    """An error in what the user gave; the message names it and where it is (file, key, image id)."""


def run_command(main: Callable[[], None]) -> None:
    """Runs a command's `main`; a `UserError` becomes one line on stderr and exit code 2."""
    try:
        main()
    except UserError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
