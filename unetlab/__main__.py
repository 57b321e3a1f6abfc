"""`python -m unetlab`, and `unetlab` where it is installed: the command line.

Exit code 2 for what the user can mend, 1 for our bugs."""

import sys

from unetlab.cli import app
from unetlab.console import show_error
from unetlab.errors import UnetlabError


def main() -> None:
    """Does what the command line asks for, and ends the process."""
    try:
        app()
    except UnetlabError as error:
        show_error(error.code, str(error), as_json="--json" in sys.argv)
        sys.exit(2)


if __name__ == "__main__":
    main()
