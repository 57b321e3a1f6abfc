"""`python -m unetlab`: the command line. Exit code 2 for what the user can mend, 1 for our bugs."""

import sys

from unetlab.cli import app
from unetlab.errors import UnetlabError

if __name__ == "__main__":
    try:
        app(prog_name="python -m unetlab")
    except UnetlabError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
