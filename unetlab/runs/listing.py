"""Which run folders there are, also where they are a thousand: what does not change is read once."""

import os
from pathlib import Path
from typing import Any

from unetlab import files
from unetlab.config import LANE_KINDS
from unetlab.runs.status import LIVE


def folders(runs: Path, dataset: str | None, kind: str | None) -> list[str]:
    """Paths of the run folders in `runs` that `store.list_runs` lists, newest first."""
    names = sorted((name for name in os.listdir(runs) if name[0] != "."), reverse=True)
    return [folder for name in names if _is_wanted(folder := f"{runs}/{name}", dataset, kind)]


def _is_wanted(folder: str, dataset: str | None, kind: str | None) -> bool:
    if not os.path.exists(f"{folder}/status.json"):
        return False
    config = _known(f"{folder}/config.json")
    if dataset is not None and config.get("dataset") != dataset:
        return False
    if kind is not None:
        return config.get("kind") == kind
    return config.get("kind") not in LANE_KINDS or _known(f"{folder}/status.json").get("state") in LIVE


def _known(path: str) -> dict[str, Any]:
    try:
        return files.read_settled(path)
    except (OSError, ValueError):
        return {}
