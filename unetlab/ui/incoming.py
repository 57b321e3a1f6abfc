"""What is not a data set yet: dropped files on disk, the import that checks them, its report.

The session holds the token of its folder of dropped files and the import it follows; both are on disk, so that
another session can continue with them. Nothing is drawn here.
"""

import contextlib
import filecmp
import re
import secrets
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import streamlit as st

from unetlab.config import RunConfig
from unetlab.data import importing
from unetlab.data.dataset import DataSet, list_datasets, open_folder
from unetlab.errors import RunError, UnetlabError
from unetlab.options import ImportOptions
from unetlab.runs import jobs
from unetlab.runs.store import Run, list_runs, open_run
from unetlab.ui import choices, state
from unetlab.workspace import Workspace

Box = Literal["images", "masks", "all"]
LOOK, BRING = "This data set", "Upload images"
FORGOTTEN_S = 24 * 3600
NAMELESS = "pictures"
OTHER_BOX = {"images": "masks", "masks": "images"}


@dataclass(frozen=True)
class Import:
    """An import that was started: its run, and the name of the staging folder that it fills."""

    run_id: str
    folder: str

    @property
    def path(self) -> Path:
        """The staging folder."""
        return state.workspace().datasets / self.folder

    @property
    def run(self) -> Run | None:
        """Its run; None once it was deleted, an hour after its end."""
        try:
            return open_run(state.workspace(), self.run_id) if self.run_id else None
        except RunError:
            return None

    @property
    def is_looking(self) -> bool:
        """Whether its worker is still working."""
        run = self.run
        return run is not None and run.status.is_live

    @property
    def has_report(self) -> bool:
        """Whether a report waits for a decision."""
        return not self.is_looking and (self.path / "manifest.json").exists()

    @property
    def given(self) -> ImportOptions | None:
        """The options it was given; None if its run is gone."""
        run = self.run
        return run.config.importing if run else None


def dropped_folder() -> Path:
    """This session's folder for dropped files; removes those of others that are over a day old."""
    parent = state.workspace().incoming
    for old in parent.iterdir():
        if time.time() - old.stat().st_mtime > FORGOTTEN_S:
            shutil.rmtree(old, ignore_errors=True)
    folder = parent / st.session_state.setdefault("incoming", secrets.token_hex(8))
    folder.mkdir(exist_ok=True)
    return folder


def brought() -> Counter[str]:
    """How many dropped files are in each box: images, masks, all."""
    counts: Counter[str] = Counter()
    if "incoming" in st.session_state:
        folder = state.workspace().incoming / st.session_state["incoming"]
        for path in folder.rglob("*"):
            if path.is_file():
                box, *rest = path.relative_to(folder).parts
                counts[box if rest and box in ("images", "masks") else "all"] += 1
    return counts


@contextlib.contextmanager
def all_or_nothing(folder: Path) -> Iterator[None]:
    """Removes what the body wrote below `folder` if it fails, so that the next drop starts from the same state."""
    before = set(folder.rglob("*"))
    try:
        yield
    except UnetlabError:
        for path in set(folder.rglob("*")) - before:
            if path.is_file():
                path.unlink()
        raise


def begin_with_dropped() -> None:
    """Starts an import of everything that was dropped so far.

    Pictures and masks in boxes of their own are kept apart. A lone folder or zip is the source itself: only then is
    the zip of an exported data set recognised.
    """
    folder, boxes = dropped_folder(), brought().keys()
    sources, masks = [folder / box for box in boxes], None
    if boxes == {"images", "masks"}:
        sources, masks = [folder / "images"], folder / "masks"
    elif "all" in boxes:
        entries = list(folder.iterdir())
        sources = entries if len(entries) == 1 else [folder]
    begin(sources, masks, choices=_decided(folder, is_apart=masks is not None or sources == [folder]))


def move_between_boxes(folder: Path, written: Sequence[str]) -> None:
    """Removes files from the box for pictures or masks that now lie in the other one too, with the same content."""
    for name in written:
        box, _, rest = name.partition("/")
        twin = folder / OTHER_BOX.get(box, "") / rest
        if box in OTHER_BOX and twin.is_file() and filecmp.cmp(twin, folder / name, shallow=False):
            twin.unlink()


def begin_with_path(where: str, masks: str) -> None:
    """Starts an import of a folder, archive or file of this machine instead of what was brought before."""
    start_over()
    begin([Path(where).expanduser()], Path(masks).expanduser() if masks else None)


def begin(sources: Sequence[Path], masks: Path | None, *, choices: dict[str, Any] | None = None) -> None:
    """Starts an import and follows it; an older one of this session is given up.

    choices: what was decided about the older one and holds for the files that are there again.
    """
    if older := current():
        give_up(older)
    folder = importing.staging_folder(state.workspace())
    options = ImportOptions(
        sources=[str(source) for source in sources],
        masks=str(masks) if masks else None,
        folder=folder.name,
        name=None,  # stops after the report
        choices=choices or {},
        reading=None,
    )
    run = jobs.start(state.workspace(), RunConfig(kind="import", dataset="", importing=options), name=_stem_of(options))
    st.session_state["import"] = Import(run.id, folder.name)


def begin_again(found: Import) -> None:
    """Starts a failed or cancelled import again."""
    given = found.given
    if given is not None:
        begin([Path(source) for source in given.sources], Path(given.masks) if given.masks else None)


def _decided(folder: Path, *, is_apart: bool) -> dict[str, Any]:
    """What was decided in the report on the files dropped before; with is_apart a name begins with that of its box."""
    found, data = current(), report()
    source = Path(found.given.sources[0]) if found and found.given else None
    if data is None or source is None or folder not in (source, *source.parents):
        return {}
    was_apart = found is not None and found.given is not None and bool(found.given.masks)
    box = "" if was_apart or not source.is_dir() else source.relative_to(folder).as_posix()
    start = f"{box}/" if is_apart and box not in ("", ".") else ""
    chosen = data.manifest.choices
    moved = {
        "pairs": [(start + image, start + mask) for image, mask in chosen.pairs],
        "apart": [(start + image, start + mask) for image, mask in chosen.apart],
        "excluded": [start + name for name in chosen.excluded],
    }
    return chosen.model_copy(update=moved).model_dump(exclude_defaults=True, mode="json")


def current() -> Import | None:
    """The import that this session follows."""
    return st.session_state.get("import")


def report() -> DataSet | None:
    """The report that waits for a decision, as a data set that is still being put together."""
    found = current()
    return open_folder(found.path) if found and found.has_report else None


def waiting() -> list[Import]:
    """Imports that run or whose report waits, newest first: those of an earlier session, or of another tab."""
    runs = {
        run.config.importing.folder: run for run in list_runs(state.workspace(), kind="import") if run.config.importing
    }
    folders = sorted(state.workspace().datasets.glob(f"{importing.STAGING_PREFIX}*"), key=_age_s)
    found = [Import(runs[path.name].id if path.name in runs else "", path.name) for path in folders]
    return [one for one in found if one.has_report or (one.is_looking and one.given and one.given.name is None)]


def adopt(found: Import) -> None:
    """Continues with an import, and with the dropped files that it was given."""
    given = found.given
    if given and given.sources and state.workspace().incoming in Path(given.sources[0]).parents:
        st.session_state["incoming"] = Path(given.sources[0]).relative_to(state.workspace().incoming).parts[0]
    st.session_state.update({"import": found, "data-view": BRING})


def give_up(found: Import) -> None:
    """Ends an import and removes what it staged; a running one removes it by itself."""
    run = found.run
    if run is not None and found.is_looking:
        with contextlib.suppress(RunError):  # it has just ended
            jobs.stop(run)
            return
    importing.discard(found.path)


def start_over() -> None:
    """Forgets what was brought: the import, its report and the dropped files."""
    if found := current():
        give_up(found)
    _forget()


def keep(found: Import, name: str) -> None:
    """Makes the report's files the data set `name` and chooses it. Raises DataError if that is not possible."""
    manifest = importing.commit(found.path, name=name)
    _forget()
    choices.choose(dataset=manifest.name)
    st.session_state.update({"data-view": LOOK, "kept": manifest.name})


def free_name(data: DataSet) -> str:
    """A name that is not taken yet: that of an exported set, else of the folder or zip that was brought."""
    found = current()
    given = found.given if found else None
    stem = data.name if not data.name.startswith(".") else _stem_of(given) if given else NAMELESS
    taken = {manifest.name for manifest in list_datasets(state.workspace())}
    return next(name for n in range(1, 10_000) if (name := stem if n == 1 else f"{stem}-{n}") not in taken)


@st.cache_resource(show_spinner=False)
def sweep(workspace: Workspace) -> int:
    """Removes what killed imports left below the workspace, once in this process; the number removed."""
    return importing.sweep_staging(workspace)


def _stem_of(given: ImportOptions) -> str:
    source = Path(given.sources[0])
    is_token = source.parent == state.workspace().incoming
    is_box = source.parent.parent == state.workspace().incoming and source.name in ("images", "masks")
    if is_token or is_box:
        return NAMELESS
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", source.stem).strip("-._")[:60] or NAMELESS


def _age_s(path: Path) -> float:
    return time.time() - path.stat().st_mtime


def _forget() -> None:
    token = st.session_state.pop("incoming", None)
    if token:
        shutil.rmtree(state.workspace().incoming / token, ignore_errors=True)
    st.session_state.pop("import", None)
