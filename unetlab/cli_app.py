"""`python -m unetlab app`: starts the page, from a checkout or an installation."""

import importlib.metadata
import os
import sys
from pathlib import Path

import typer

from unetlab.errors import UnetlabError
from unetlab.workspace import checkout


def app_file() -> Path:
    """app.py, with pages/ and .streamlit/ beside it: in the checkout, else where pip put it (`share/unetlab`).

    Raises UnetlabError where the installation lacks it.
    """
    folder = checkout()
    if folder is not None:
        return folder / "app.py"
    for file in importlib.metadata.files("unetlab") or ():
        path = Path(str(file.locate())).resolve()
        if path.parts[-3:] == ("share", "unetlab", "app.py") and path.exists():  # `pip --target` puts it elsewhere
            return path
    raise UnetlabError("This installation of unetlab lacks the page. Reinstall it with pip.")


def start_page(context: typer.Context) -> None:
    """Start the page on http://127.0.0.1:8501. Streamlit's own flags are passed on: app --server.port 9000."""
    # streamlit finds the settings beside app.py from any folder; it replaces this process, so Ctrl-C reaches it
    os.execv(sys.executable, [sys.executable, "-m", "streamlit", "run", str(app_file()), *context.args])
