"""The run folder: what is in it, who writes it, and reading it while it grows.

`<workspace>/runs/<id>/`, id = time, data set, random or a key's digest: `2026-05-04T10-12-33_cells_a3f9`.
Deleted runs are in `runs/.trash/` (trash.py).

| file                        | written by            | content                                                        |
|-----------------------------|-----------------------|----------------------------------------------------------------|
| config.json                 | starter, once         | RunConfig: what was asked for                                  |
| notes.json                  | anyone, at any time   | name, tags, remarks                                            |
| status.json                 | see status.py         | state, process, progress                                       |
| stop                        | anyone, empty         | please stop; its time starts the deadlines of jobs.py          |
| pause                       | anyone, empty         | please write a checkpoint and end; resume deletes it           |
| one_thread                  | anyone, empty         | please compute with a single CPU thread from here on           |
| environment.json            | worker                | versions, device, threads, seed, content hash of the data set  |
| events.jsonl                | worker, append only   | events.py, one per line                                        |
| lr_curve.json               | worker (lr_find)      | the sweeps, their picks and refusals                           |
| previews/epoch_003/0.jpg .png | worker (train)      | overlay, predicted class ids, of the same few pictures         |
| best / last .safetensors .json | worker (train)     | weights and their card (models/weights.py)                     |
| checkpoint.pt               | worker (train)        | all it needs to resume bit for bit (training/checkpoint.py)    |
| evaluation.json, predictions/ | worker              | scores pooled and per picture, predicted ids of each picture   |
| overlay.jpg                 | worker                | the worst picture: itself, truth, prediction, errors           |
| augmented/ROW_COL.jpg       | worker (preview)      | pictures with their masks; column 0 unchanged, then augmented  |
| result.json                 | worker, at the end    | what `--json` prints                                           |
| worker.log                  | the worker's stdout and stderr | for people                                            |
| reserve                     | worker                | room to report a full disk                                     |
"""

import hashlib
import io
import math
import secrets
import shutil
import time
import zipfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from filelock import FileLock
from pydantic import BaseModel

from unetlab import events, files
from unetlab.config import RunConfig, load_config
from unetlab.errors import RunError
from unetlab.runs import listing
from unetlab.runs.status import Status, read_status, write_status
from unetlab.workspace import Workspace

RESERVE_BYTES = 256 * 1024
KIND_WORDS = {
    "lr_find": "learning-rate sweep",
    "train": "training",
    "evaluate": "scoring",
    "import": "import",
    "preview": "augmentation preview",
    "forecast": "memory forecast",
}


class Notes(BaseModel):
    """What the user wrote about a run."""

    name: str = ""
    tags: list[str] = []
    remarks: str = ""


@dataclass(frozen=True)
class Run:
    """A run folder. Reads what is there now; nothing is kept in memory."""

    folder: Path

    @property
    def id(self) -> str:
        """The folder's name."""
        return self.folder.name

    @property
    def workspace(self) -> Workspace:
        """The workspace that the run belongs to."""
        return Workspace(self.folder.parents[1])

    @property
    def config(self) -> RunConfig:
        """What was asked for, with the rate from its sweep once its worker has read it. Raises ConfigError."""
        config = load_config(files.read_json(self.folder / "config.json"))
        source = config.lr_from
        if source is not None and source.lr is None and (found := (self.read("environment.json") or {}).get("lr_from")):
            return config.with_pick(**found)
        return config

    @property
    def status(self) -> Status:
        """The state, made final when the worker is proven dead."""
        return read_status(self.folder)

    @property
    def notes(self) -> Notes:
        """Name, tags, remarks; empty if there are none."""
        try:
            return Notes.model_validate(files.read_settled(f"{self.folder}/notes.json"))
        except (OSError, ValueError):
            return Notes()

    @property
    def title(self) -> str:
        """The name the user gave it, else its kind and time: "training of 05-04 10:12"."""
        return self.notes.name or f"{self.kind_word} of {self.when}"

    def called(self, article: str) -> str:
        """As part of a sentence: the name the user gave it, else "the training of 05-04 10:12"."""
        return self.notes.name or f"{article} {self.title}"

    @property
    def kind_word(self) -> str:
        """What the job does, for people."""
        return KIND_WORDS.get((self.read("config.json") or {}).get("kind", ""), "run")

    @property
    def has_scores(self) -> bool:
        """Whether it was evaluated."""
        return (self.folder / "evaluation.json").exists()

    def ask_to_stop(self) -> None:
        """Leaves the `stop` file; asked twice, the deadlines still count from the first time."""
        if not self.has_stop:
            (self.folder / "stop").touch()

    @property
    def when(self) -> str:
        """Month, day, hour and minute of its start, from its id: "05-04 10:12"."""
        day, _, clock = self.id.partition("_")[0].partition("T")
        return f"{day[5:]} {clock[:5].replace('-', ':')}"

    def write_notes(self, notes: Notes) -> None:
        """Replaces the notes."""
        files.write_json(self.folder / "notes.json", notes.model_dump())

    def read(self, name: str) -> Any:
        """A JSON file of the folder, None while it is not there."""
        try:
            return files.read_json(self.folder / name)
        except (OSError, ValueError):
            return None

    @property
    def has_stop(self) -> bool:
        """Whether it was asked to stop."""
        return (self.folder / "stop").exists()

    @property
    def has_pause(self) -> bool:
        """Whether it was asked to pause."""
        return (self.folder / "pause").exists()

    def log_tail(self, lines: int = 200) -> str:
        """The end of worker.log."""
        path = self.folder / "worker.log"
        if not path.exists():
            return ""
        with path.open("rb") as file:
            file.seek(max(path.stat().st_size - 200 * lines, 0))
            return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])


def create_run(
    workspace: Workspace, config: RunConfig, *, name: str = "", device: str = "cpu", ending: str = ""
) -> Run:
    """A new run folder in state *queued*; jobs.start gives it a worker. ending: of its id, by default random."""
    stem = f"{time.strftime('%Y-%m-%dT%H-%M-%S')}_{config.dataset[:40] or config.kind}"
    run = Run(workspace.runs / f"{stem}_{ending or secrets.token_hex(2)}")
    while not ending and run.folder.exists():  # two runs of one second may draw the same ending
        run = Run(workspace.runs / f"{stem}_{secrets.token_hex(2)}")
    run.folder.mkdir()
    try:
        files.write_json(run.folder / "config.json", config.model_dump(mode="json"))
        run.write_notes(Notes(name=name))
        write_status(run.folder, Status(state="queued", created=time.time(), device=device))
    except OSError:  # a full disk: leave no half-made run behind
        shutil.rmtree(run.folder, ignore_errors=True)
        raise
    return run


def create_once(
    workspace: Workspace, config: RunConfig, *, key: str, name: str = "", device: str = "cpu"
) -> tuple[Run, bool]:
    """The run that was created with this key, created now if there is none yet, and whether it is new.

    If two callers use one key at the same moment, in threads or processes, one creates the run and both get it. The
    run's id ends with the key's digest, so nothing else has to be stored. Without a key the run is always new.
    """
    if not key:
        return create_run(workspace, config, name=name, device=device), True
    ending = hashlib.sha256(key.encode()).hexdigest()[:12]
    with FileLock(workspace.locks / "starts.lock", timeout=30):
        for folder in workspace.runs.glob(f"[!.]*_{ending}"):
            if (folder / "status.json").exists():
                return Run(folder), False
            shutil.rmtree(folder)  # of a starter that was killed at it
        return create_run(workspace, config, name=name, device=device, ending=ending), True


def open_run(workspace: Workspace, run_id: str) -> Run:
    """The run with this id. Raises RunError when there is none or the id is not an id."""
    run = Run(files.child_folder(workspace.runs, run_id, RunError))
    if not (run.folder / "status.json").exists():
        raise RunError(f"There is no run {run_id!r}. See them with: python -m unetlab runs list")
    return run


def list_runs(workspace: Workspace, *, dataset: str | None = None, kind: str | None = None) -> list[Run]:
    """All runs, newest first; only those of one data set or kind if given.

    Imports, previews and forecasts that have ended are listed only if their kind is given.
    """
    return [_run(folder) for folder in listing.folders(workspace.runs, dataset, kind)]


@lru_cache(16_384)  # making a thousand paths takes as long as looking at their files
def _run(folder: str) -> Run:
    return Run(Path(folder))


def delete_run(run: Run) -> None:
    """Removes the folder. Raises RunError while the run is live."""
    if run.status.is_live:
        raise RunError(f"{run.id} is {run.status.state}. Stop it first, then delete it.")
    leaving = run.folder.with_name(f".deleted-{secrets.token_hex(8)}")
    run.folder.rename(leaving)  # gone at once: no reader finds half a run
    shutil.rmtree(leaving)


def read_events(run: Run, offset: int = 0) -> tuple[list[dict[str, Any]], int]:
    """Events from byte `offset` on, and the next offset. A half-written last line waits for the next call."""
    path = run.folder / "events.jsonl"
    if not path.exists():
        return [], 0
    with path.open("rb") as file:
        file.seek(offset)
        data = file.read()
    end = data.rfind(b"\n") + 1
    return events.from_lines(data[:end].decode(errors="replace").splitlines()), offset + end


class EventWriter:
    """The worker's side of events.jsonl: one line per event; a torn last line after a kill is removed on opening."""

    def __init__(self, run: Run, *, attempt: int):
        path = run.folder / "events.jsonl"
        if path.exists() and not (content := path.read_bytes()).endswith(b"\n"):
            with path.open("r+b") as file:
                file.truncate(content.rfind(b"\n") + 1)
        self._file, self._attempt = path.open("a", encoding="utf-8"), attempt

    def write(self, event: events.Event) -> None:
        """Appends the event; it is in the file when this returns."""
        self._file.write(events.to_line(event, time=time.time(), attempt=self._attempt))
        self._file.flush()

    def close(self) -> None:
        """Closes the file; no event can be written afterwards."""
        self._file.close()


def weights_archive(run: Run) -> bytes:
    """A zip of the best weights and their card."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in ("best.safetensors", "best.json"):
            archive.write(run.folder / name, name)
    return buffer.getvalue()


def score_text(score: float | None) -> str:
    """A score with three digits; "absent" for None or NaN, a class that is neither in truth nor prediction."""
    return "absent" if score is None or math.isnan(score) else f"{score:.3f}"


def summary(run: Run) -> dict[str, Any]:
    """What `runs list` and the cards show: id, name, kind, data set, state, reason, best mean Dice so far."""
    config, status = run.read("config.json") or {}, run.status
    card = run.read("best.json") or {}
    return {
        "run": run.id,
        "name": run.notes.name,
        "kind": config.get("kind"),
        "dataset": config.get("dataset"),
        "status": status.state,
        "reason": status.reason,
        "phase": status.phase,
        "done": status.done,
        "total": status.total,
        "plan": config.get("plan"),
        "role": config.get("role"),
        "mean_dice": card.get("valid", {}).get("mean_dice"),
    }
