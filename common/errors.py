"""Bad input is answered with one line and exit code 2, never with a traceback."""

import sys
from collections.abc import Callable


class UserError(Exception):
    """Something the user gave is wrong; the message names it and where it stands (file, key, image id)."""


def run_command(main: Callable[[], None]) -> None:
    """Runs a command's `main` and turns what the user can mend into one line on stderr and exit code 2."""
    try:
        main()
    except UserError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
