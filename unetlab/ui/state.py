"""What pages read from the workspace, states and times in words, callbacks whose errors reach the user."""

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from unetlab.data.dataset import DataSet, Manifest, open_dataset, open_folder
from unetlab.errors import DataError, UnetlabError
from unetlab.runs.status import Status
from unetlab.runs.store import Run, list_runs, open_run
from unetlab.ui.text import plain
from unetlab.workspace import Workspace

SCROLL_UP = """document.querySelector('[data-testid="stMain"]').scrollTo({top: 0})"""
STATE_WORDS: dict[str, tuple[str, str, Any]] = {
    "queued": ("waiting", ":material/hourglass_top:", "gray"),
    "running": ("running", ":material/play_circle:", "blue"),
    "paused": ("paused", ":material/pause_circle:", "violet"),
    "finished": ("finished", ":material/check_circle:", "green"),
    "stopped": ("stopped", ":material/stop_circle:", "orange"),
    "failed": ("failed", ":material/error:", "red"),
    "lost": ("crashed", ":material/help:", "red"),
}


def workspace() -> Workspace:
    """The workspace of this session."""
    return st.session_state["workspace"]


def enter(entered: Workspace) -> None:
    """Sets the workspace of this session; app.py calls it at the start of each script run."""
    st.session_state["workspace"] = entered


def dataset_names() -> list[str]:
    """All data sets, newest first; folders without a readable manifest are passed over."""
    folders = [path.parent for path in workspace().datasets.glob("[!.]*/manifest.json")]
    created = {folder.name: _created(str(folder), _changed_ns(folder)) for folder in folders}
    return sorted((name for name in created if created[name]), key=lambda name: (created[name], name), reverse=True)


def chosen_dataset() -> DataSet | None:
    """The data set that is chosen (choices.py)."""
    name = st.session_state.get("dataset")
    folder = workspace().datasets / name if name else None
    return DataSet(folder, _manifest(str(folder), _changed_ns(folder))) if folder and _changed_ns(folder) else None


def _changed_ns(folder: Path) -> int:
    """When the manifest last changed; 0 where it is gone."""
    try:
        return (folder / "manifest.json").stat().st_mtime_ns
    except OSError:
        return 0


@st.cache_data(max_entries=1000, show_spinner=False)
def _created(folder: str, changed_ns: int) -> str:
    """When the data set was made; empty where that cannot be read."""
    try:
        return open_folder(Path(folder)).manifest.created
    except DataError:
        return ""


@st.cache_resource(max_entries=4, show_spinner=False)  # it is never modified, and 10,000 pairs take long to check
def _manifest(folder: str, changed_ns: int) -> Manifest:
    return open_folder(Path(folder)).manifest


def dataset_of(run: Run) -> DataSet:
    """The data set as it was when the run saw it; as it is now if the run has not begun. Raises DataError."""
    return open_dataset(
        run.workspace, run.config.dataset, version=(run.read("environment.json") or {}).get("content_hash")
    )


def chosen_run() -> Run | None:
    """The training run that is chosen (choices.py)."""
    run_id = st.session_state.get("run")
    try:
        return open_run(workspace(), run_id) if run_id else None
    except UnetlabError:
        return None


def run_titles() -> Callable[[str], str]:
    """Run id -> its title in a list: name and time. Not the state, which changes while the list is shown."""
    here = workspace()  # now: a test asks for titles outside of a session

    def title(run_id: str) -> str:
        run = Run(here.runs / run_id)  # from a list of runs: to check each id would cost a third of a page
        name = f"{run.notes.name} · " if run.notes.name else ""
        return f"{name}{run.when}"

    return title


def runs_of(dataset: str | None, kind: str) -> list[str]:
    """Ids of the runs of one kind on a data set, newest first."""
    return [run.id for run in list_runs(workspace(), dataset=dataset, kind=kind)] if dataset else []


def attempt(action: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """For callbacks: does `action`; an error the user can mend is shown at the top of the page instead of raised."""
    try:
        return action(*args, **kwargs)
    except UnetlabError as error:
        st.session_state["problem"] = str(error)
        return None


def in_place(draw: Callable[..., None], *args: Any) -> None:
    """Draws a part of a page; an error the user can mend is shown in its place, and the rest of the page is drawn."""
    try:
        draw(*args)
    except UnetlabError as error:
        st.error(plain(str(error)), title="This part cannot be shown", icon=":material/error:")


def go_to(page: str) -> None:
    """A callback: asks for another page, given as its file; `frame.open_next` opens it."""
    st.session_state["next-page"] = page


def scroll_up_once() -> None:
    """After a callback that set "to-top": what it has put in place of the old content is seen from its beginning."""
    if st.session_state.pop("to-top", False):
        st.html(f"<script>{SCROLL_UP}</script>", unsafe_allow_javascript=True)


def poll(look: Callable[..., None], *args: Any, every: float | None) -> None:
    """Draws a part of a page, and alone again every `every` seconds (None: only after a click in it).

    A click in it that leaves something for the page, a problem or another page to open, draws the whole page.
    """

    def part() -> None:
        if "problem" in st.session_state or "next-page" in st.session_state:
            st.rerun()
        look(*args)

    st.fragment(part, run_every=every)()


def let_go(uploaded: Sequence[Any]) -> None:
    """Frees uploaded bytes, which Streamlit would keep until the session ends. Private API, hence the suppress."""
    with contextlib.suppress(AttributeError):
        context = get_script_run_ctx()
        for file in uploaded:
            context.uploaded_file_mgr.remove_file(context.session_id, file.file_id)  # type: ignore[union-attr]


def duration(seconds: float | None) -> str:
    """ "45 s", "1 min 10 s", "2 h 5 min"; "time left not known yet" for None."""
    if seconds is None:
        return "time left not known yet"
    whole = max(round(seconds), 0)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def progress_text(run: Run, status: Status) -> str:
    """A job's progress: "training: step 140 of 320, 1 min 10 s left"; without the time once it was asked to stop."""
    if not status.total:
        return status.phase or status.state
    left = duration(status.seconds_left) + ("" if status.seconds_left is None else " left")
    left = "stopping" if run.has_stop else left
    busy = f", {status.detail}" if status.detail else ""
    return f"{status.phase}: {_unit(status.phase)}{status.done:,} of {status.total:,}{busy}, {left}"


def _unit(phase: str) -> str:
    units = {"step ": ("training", "sweep"), "picture ": ("scoring", "augmenting")}
    return next((unit for unit, words in units.items() if any(word in phase for word in words)), "")


def fraction(status: Status) -> float:
    """Progress of the current phase in 0..1."""
    return min(status.done / status.total, 1.0) if status.total else 0.0
