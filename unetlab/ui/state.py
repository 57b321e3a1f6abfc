"""What is chosen: data set and run, kept in the URL; and callbacks whose errors reach the person, not the log."""

from collections.abc import Callable
from typing import Any

import streamlit as st

from unetlab.data.dataset import DataSet, list_datasets, open_dataset
from unetlab.errors import UnetlabError
from unetlab.runs import jobs, queue
from unetlab.runs.status import Status
from unetlab.runs.store import Run, list_runs, open_run

STATE_WORDS: dict[str, tuple[str, str, Any]] = {
    "queued": ("waiting", ":material/hourglass_top:", "gray"),
    "running": ("running", ":material/play_circle:", "blue"),
    "finished": ("finished", ":material/check_circle:", "green"),
    "stopped": ("stopped", ":material/stop_circle:", "orange"),
    "failed": ("failed", ":material/error:", "red"),
    "lost": ("lost", ":material/help:", "red"),
}


def choose(key: str, label: str, options: list[str], format_func: Callable[[str], str], **more: Any) -> str | None:
    """A select box whose value stands in the URL's `?key=`; the first option, the newest, where that means nothing.

    None without options. Why not Streamlit's own binding: docs/decisions/0007-url.md.
    """
    chosen = st.session_state.get(key) or st.query_params.get(key)
    if not options:
        st.session_state.pop(key, None)
        return None
    # unknown: deleted meanwhile, of another data set, or a hostile link
    st.session_state[key] = chosen if chosen in options else options[0]
    value = st.selectbox(label, options, key=key, format_func=format_func, **more)
    if st.query_params.get(key) != value:
        st.query_params[key] = value
    return value


def dataset_names() -> list[str]:
    """All data sets, newest first."""
    return [manifest.name for manifest in list_datasets()]


def chosen_dataset() -> DataSet | None:
    """The data set chosen in the sidebar."""
    name = st.session_state.get("dataset")
    return open_dataset(name) if name and name in dataset_names() else None


def chosen_run() -> Run | None:
    """The training run chosen in the sidebar."""
    run_id = st.session_state.get("run")
    try:
        return open_run(run_id) if run_id else None
    except UnetlabError:
        return None


def run_title(run_id: str) -> str:
    """A run in a list: its name or time, and its state."""
    run = open_run(run_id)
    name = f"{run.notes.name} · " if run.notes.name else ""
    return f"{name}{run.when} · {STATE_WORDS[run.status.state][0]}"


def runs_of(dataset: str | None, kind: str) -> list[str]:
    """Ids of the runs of one kind on a data set, newest first."""
    return [run.id for run in list_runs(dataset=dataset, kind=kind)] if dataset else []


def attempt(action: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """For callbacks: does `action`; an error the user can mend is shown at the top of the page instead of raised."""
    try:
        return action(*args, **kwargs)
    except UnetlabError as error:
        st.session_state["problem"] = str(error)
        return None


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


def progress_text(status: Status) -> str:
    """Where a job is: "training: step 140 of 320, 1 min 10 s left"."""
    if not status.total:
        return status.phase or status.state
    unit = "picture" if "scoring" in status.phase else "step"
    return f"{status.phase}: {unit} {status.done} of {status.total}, {duration(status.seconds_left)} left".replace(
        "time left not known yet left", "time left not known yet"
    )


def fraction(status: Status) -> float:
    """Progress of the current phase in 0..1."""
    return min(status.done / status.total, 1.0) if status.total else 0.0


def waits_for(run: Run, status: Status) -> str:
    """What a queued run waits for, in words."""
    if status.is_parked:
        return "parked until the queue goes on"
    before = queue.position(run)
    if before:
        return f"{before} before it in the queue"
    running = (other for other in jobs.live_runs() if other.status.state == "running")
    ahead = next((other.title for other in running if other.status.device == status.device), None)
    return f"it is next, after {ahead}" if ahead else "it is next; another program or workspace may hold the device"
