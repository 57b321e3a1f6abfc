"""Form values that were not started yet: `datasets/<name>/drafts/<form>.json`, so that they outlive their tab.

The file is in the data set's folder, so that it is deleted with it. It holds the values that a person or a click has
set; all others are the options' defaults. docs/decisions/0013-choices.md.
"""

import contextlib
from pathlib import Path
from typing import Any

from unetlab import files


def read(dataset: Path, form: str) -> dict[str, Any]:
    """What was set in the form of the data set in this folder; empty if nothing was, or the file is damaged."""
    try:
        kept = files.read_json(_path(dataset, form))
    except (OSError, ValueError):
        return {}
    return kept if isinstance(kept, dict) else {}


def write(dataset: Path, form: str, changes: dict[str, Any]) -> None:
    """Adds to what was set in the form. If the disk is full or read-only, only the session remembers it."""
    kept = read(dataset, form)
    if kept == kept | changes:
        return
    with contextlib.suppress(OSError):
        _path(dataset, form).parent.mkdir(exist_ok=True)
        files.write_json(_path(dataset, form), kept | changes, is_durable=False)


def _path(dataset: Path, form: str) -> Path:
    return dataset / "drafts" / f"{form}.json"
