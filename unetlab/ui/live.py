"""A run on a page: the panel that polls while it is live, and for every state what it means and the next step."""

import time
from collections.abc import Callable
from typing import NoReturn

import streamlit as st

from unetlab.runs import devices, jobs, queue
from unetlab.runs.status import RESUMABLE, Status
from unetlab.runs.store import Run
from unetlab.ui import choices, hosting, state
from unetlab.ui.text import plain

POLL_S, YOUNG_POLL_S = 1.0, 0.25
YOUNG_S = 8.0  # how long after its start a job is polled more often: the first points count most


def panel(run: Run, draw: Callable[[Run, Status], None]) -> None:
    """Draws the run repeatedly while it is live; when it ends, polling ends and the page is drawn once more."""
    first = run.status
    was_young = _is_young(first)

    def look() -> None:
        try:
            status = run.status
            if status.is_live:
                jobs.insist(run)
            draw(run, status)
        except FileNotFoundError:
            if run.folder.exists():
                raise
            st.rerun()  # deleted meanwhile: the page says so
        st.set_page_config(page_title=tab_title(run, status))
        if status.state != first.state or _is_young(status) != was_young:
            st.rerun()  # the whole page: its buttons depend on the state

    interval = (YOUNG_POLL_S if was_young else POLL_S) if first.is_live else None
    state.poll(look, every=interval)


def tab_title(run: Run, status: Status) -> str:
    """For the browser's tab: how far the run is, and how it ended."""
    word = state.STATE_WORDS[status.state][0]
    is_counting = status.state == "running" and status.total
    return f"{state.fraction(status):.0%} · {run.title}" if is_counting else f"{word.capitalize()} · {run.title}"


def _is_young(status: Status) -> bool:
    since = status.running_since or status.created
    return status.is_live and time.time() - since < YOUNG_S


def face(
    run: Run, status: Status, *, keeps: str, then: Callable[[Run], None] = lambda run: None, is_told: bool = False
) -> None:
    """What state the run is in and what to do next.

    `keeps`: what a stop leaves, e.g. "the model so far". `then`: draws the next step of a run that has ended.
    `is_told`: the page itself says how the run ended, and resumes it.
    """
    word, icon, color = state.STATE_WORDS[status.state]
    is_training, reason = run.config.kind == "train", plain(hosting.reason_of(status))
    with st.container(horizontal=True, vertical_alignment="center"):
        st.badge(word if status.is_responding else "not responding", icon=icon, color=color)
        st.markdown(f"**{plain(run.title)}**", width="content")
        if status.state == "running" and status.is_responding:
            st.progress(state.fraction(status), text=plain(state.progress_text(run, status)))
        if status.is_live:
            _stop_and_pause(run, status, keeps)
        else:
            then(run)
    if is_told:
        return
    if status.state == "queued":
        _queued(run, status)
    elif status.state == "running" and not status.is_responding:
        st.warning(
            "The training process is alive but has reported nothing for a while: the computer may be very busy, or a "
            "step is long. Wait, or press Stop; it is ended by force a minute later if it does not answer.",
            title="Not responding",
            icon=":material/hourglass_disabled:",
        )
    elif status.state == "paused":
        st.info(f"{reason} It holds no memory meanwhile.", title="Paused", icon=":material/pause_circle:")
    elif status.state == "stopped":
        kept = "resume it, or train again with changes" if is_training else "what it measured is kept"
        st.info(
            f"{reason} Nothing is lost: {kept}.",
            title="Stopped",
            icon=":material/stop_circle:",
        )
    elif status.state == "failed":
        st.error(reason, title="The run failed", icon=":material/error:")
        st.caption("What it logged and saved is kept. Change what the message names, then start again.")
    elif status.state == "lost":
        again = (
            "" if is_training else " Start again, with a smaller batch or image size if memory may have been the cause."
        )
        st.error(
            f"{reason} What it logged and saved is kept.{again}",
            title="The training process crashed" if is_training else "The process crashed",
            icon=":material/help:",
        )
    if status.state in RESUMABLE and is_training:
        _resume(run, status)


def stop_button(run: Run, status: Status, *, key: str, keeps: str) -> None:
    """Ends a live run; called Cancel if nothing of it would be kept. `keeps`: what a stop leaves."""
    is_kept = status.state == "running" and status.device != devices.LANE
    again = " It can be resumed later." if run.config.kind == "train" else ""
    st.button(
        "Stopping" if run.has_stop else "Stop" if is_kept else "Cancel",
        icon=":material/stop:",
        key=key,
        disabled=run.has_stop,
        on_click=state.attempt,
        args=(jobs.stop, run),
        help=f"Ends it soon and keeps {keeps}.{again}" if is_kept else None,
    )


def _stop_and_pause(run: Run, status: Status, keeps: str) -> None:
    stop_button(run, status, key=f"face-stop-{run.id}", keeps=keeps)
    if run.config.kind == "train":
        st.button(
            "Pausing" if run.has_pause else "Pause",
            icon=":material/pause:",
            key=f"face-pause-{run.id}",
            disabled=run.has_pause or run.has_stop,
            on_click=state.attempt,
            args=(jobs.pause, run),
            help="Ends the process to free its memory; the run can be resumed later as if nothing had happened.",
        )


def _resume(run: Run, status: Status) -> None:
    batch = run.config.train.batch_size
    half = -(-(status.micro_batch or batch) // 2)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            "Resume",
            icon=":material/play_arrow:",
            key=f"resume-{run.id}",
            on_click=state.attempt,
            args=(jobs.resume, run),
            help="Continues from its last checkpoint, with the losses it would have had.",
        )
        if status.state in ("lost", "failed") and half < (status.micro_batch or batch):
            st.button(
                f"Resume with {half} of {batch} pictures at a time",
                icon=":material/memory:",
                key=f"resume-smaller-{run.id}",
                on_click=state.attempt,
                args=(jobs.resume, run),
                kwargs={"micro_batch": half},
                help="If memory may have been the cause: each step still sees all its pictures, in parts.",
            )


def _queued(run: Run, status: Status) -> None:
    if queue.read_queue(run.workspace).is_held:
        st.warning(
            "The queue is paused since the memory was freed. Resume it in the sidebar, below the jobs.",
            title="Queue paused",
            icon=":material/pause_circle:",
        )
        return
    waits = jobs.waits_for(run, status, names_processes=hosting.is_own_machine())
    st.info(
        f"{waits[0].upper()}{plain(waits[1:])}. It starts by itself, even if this page is closed.",
        icon=":material/hourglass_top:",
    )


def log(run: Run) -> None:
    """The worker's log, one click away; hidden from others, because it says much about the machine."""
    if not hosting.is_own_machine():
        return
    with st.expander("Log", icon=":material/article:", key=f"log-{run.id}"):
        st.code(run.log_tail() or "The log is empty.", language=None, height=260)


def nothing_yet(what: str, page: str, label: str) -> NoReturn:
    """An empty page: what is missing, and a link to it."""
    st.info(what, icon=":material/info:")
    choices.link(page, label=label, icon=":material/arrow_forward:")
    st.stop()
