"""What the Runs page tells of each run, worked out once for runs that have ended."""

import os
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from unetlab import files
from unetlab.runs.status import LIVE
from unetlab.runs.store import KIND_WORDS, Run, read_events
from unetlab.ui import state

TAIL_BYTES = 16 * 1024  # the end of events.jsonl, in which the last step is
KINDS = KIND_WORDS | {"lr_find": "sweep"}
LIVE_WORDS = [state.STATE_WORDS[name][0] for name in LIVE]


class Row(NamedTuple):
    """What the table shows of a run; None is not known. `score`: mean Dice of the best epoch."""

    id: str
    name: str
    dataset: str
    kind: str
    state: str
    created: datetime
    score: float | None
    lasted: timedelta | None
    tags: list[str]
    megabytes: float
    epochs: int | None
    steps: int | None
    lr: float | None

    @property
    def is_live(self) -> bool:
        """Whether it waits or runs."""
        return self.state in LIVE_WORDS

    def has(self, words: Sequence[str]) -> bool:
        """Whether its name, data set and tags have all these words in them."""
        said = " ".join([self.name, self.dataset, *self.tags]).lower()
        return all(word in said for word in words)


def rows(runs: Sequence[Run]) -> list[Row]:
    """A row a run. That of a run that has ended is made once, and again when its status or notes have changed."""
    found = []
    for run in runs:
        with suppress(FileNotFoundError):  # deleted since it was listed
            versions = [os.stat(f"{run.folder}/{name}.json") for name in ("status", "notes")]
            key = (str(run.folder), *((version.st_mtime_ns, version.st_ino) for version in versions))
            row = _row(*key)
            found.append(_row.__wrapped__(*key) if row.is_live else row)
    return found


@lru_cache(8192)
def _row(folder: str, *versions: tuple[int, int]) -> Row:
    run = Run(Path(folder))
    config, status, notes = run.read("config.json") or {}, run.status, run.notes
    is_training = config.get("kind") == "train"
    epochs, steps = _reached(run)
    origin = (run.read("environment.json") or {}).get("lr_from") or config.get("lr_from")
    rate = origin["lr"] if origin else config.get("train", {}).get("max_lr")
    seconds = (status.ended or status.heartbeat or 0) - (status.running_since or 0)
    return Row(
        id=run.id,
        name=notes.name or run.when,  # the kind has a column of its own, and the whole title would be cut
        dataset=config.get("dataset", ""),
        kind=KINDS.get(config.get("kind", ""), "run"),
        state=state.STATE_WORDS[status.state][0],
        created=_created(run, status.created),
        score=(run.read("best.json") or {}).get("valid", {}).get("mean_dice"),
        lasted=timedelta(seconds=round(seconds)) if status.running_since and seconds > 0 else None,
        tags=notes.tags,
        megabytes=files.size_of(run.folder) / 1e6,
        epochs=epochs if is_training else None,
        steps=steps,
        lr=rate if is_training else None,
    )


def _created(run: Run, created: float) -> datetime:
    try:
        return datetime.strptime(run.id.partition("_")[0], "%Y-%m-%dT%H-%M-%S")
    except ValueError:  # a folder that somebody has renamed
        return datetime.fromtimestamp(created)


def _reached(run: Run) -> tuple[int | None, int | None]:
    """(epochs, steps) done, from the last event that tells."""
    path = run.folder / "events.jsonl"
    size = path.stat().st_size if path.exists() else 0
    for event in reversed(read_events(run, max(size - TAIL_BYTES, 0))[0]):
        if event["type"] == "epoch":
            return event["epoch"] + 1, event["step"]
        if event["type"] == "batch":
            return event["epoch"], event["step"] + 1
    return None, None
