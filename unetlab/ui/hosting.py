"""Whom the page is for: the person at this machine, or others, who see nothing of the machine itself."""

import os
import re
import tempfile
from pathlib import Path

import streamlit as st

from unetlab.runs.status import Status

_PROGRAM = Path(__file__).resolve().parents[2]
_PATH = re.compile(r"""(?<![\w/:.])(?:~|/[^\s/'"`,;:()<>\[\]{}|]+)?(?:/[^\s/'"`,;:()<>\[\]{}|]+)+/?""")


def is_own_machine() -> bool:
    """Whether users of the page may see the machine that serves it: its paths, the logs of its workers, its errors.

    Yes, unless `UNETLAB_LOCAL` is set to anything but 1. UNETLAB_ALLOW_PATHS=0, its older name, also means no.
    """
    return os.environ.get("UNETLAB_LOCAL", "1") == "1" and os.environ.get("UNETLAB_ALLOW_PATHS", "1") != "0"


def without_paths(text: str) -> str:
    """`text` with each absolute path cut down: below a folder of ours to what follows, else to its last part."""
    for folder in sorted({str(path) for path in _folders()}, key=len, reverse=True):
        text = text.replace(f"{folder}/", "")
    return _PATH.sub(lambda found: found[0].rstrip("/").rpartition("/")[2], text)


def reason_of(status: Status) -> str:
    """Why the run ended. Others learn of a bug only that it is one: an exception's text may reveal anything."""
    is_told = is_own_machine() or not status.is_bug
    return status.reason if is_told else "This is a bug in unetlab. The owner of this server finds it in the run's log."


def _folders() -> list[Path]:
    """Folders whose names may hold spaces, which hide where a path in a sentence ends."""
    workspace = st.session_state.get("workspace")  # none if it could not be opened
    own = [workspace.root] if workspace else []
    return [path for path in (*own, _PROGRAM, Path(tempfile.gettempdir()), Path.home()) if path != Path("/")]
