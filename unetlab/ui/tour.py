"""The tour of a sweep and the training behind it: the next page opens by itself while its job is being watched.

It ends as soon as another page, run or sweep is looked at, so that nobody is taken away from what he has chosen.
"""

import time
from dataclasses import dataclass

import streamlit as st

from unetlab.errors import UnetlabError
from unetlab.runs.store import Run, open_run
from unetlab.ui import choices, state, training

LEARNING_RATE, TRAIN, RESULTS = (f"pages/lab/{name}.py" for name in ("learning_rate", "train", "results"))
LOOK_S = 6.0  # how long the end of a job is shown before the next page opens

NO_TRAINING = "The sweep did not finish, so the training did not start."
NO_RESULTS = "The training ended without scores, so there are no results."


@dataclass
class Tour:
    """Ids of the sweep and of the training behind it; whether the training was reached."""

    sweep: str
    run: str
    is_training: bool = False


def begin(sweep: Run, run: Run) -> None:
    """A callback: opens the page of the sweep."""
    choices.choose(dataset=run.config.dataset, sweep=sweep.id, run=run.id)
    st.session_state.update({"tour": Tour(sweep.id, run.id), "train-view": training.RUN})
    state.go_to(LEARNING_RATE)


def draw(page: str) -> None:
    """Above `page` (its URL path) what opens next by itself, while there is a tour and its job is on that page."""
    tour: Tour | None = st.session_state.get("tour")
    watched = _watched(tour, page) if tour else None
    if tour is None or watched is None:
        end()
        return
    tour.is_training = page == "train"
    with st.container(key="tour"):
        state.poll(_line, tour, watched, every=1.0 if _is_over(tour, watched) else None)


def end() -> None:
    """Opens no more pages by itself; also a callback."""
    st.session_state.pop("tour", None)


def _watched(tour: Tour, page: str) -> Run | None:
    """The job of the tour that the page shows."""
    seen = st.session_state
    is_sweep = page == "learning_rate" and not tour.is_training and seen["sweep"] == tour.sweep
    is_run = page == "train" and seen["run"] == tour.run and seen.get("train-view") == training.RUN
    try:
        return open_run(state.workspace(), tour.sweep if is_sweep else tour.run) if is_sweep or is_run else None
    except UnetlabError:  # deleted
        return None


def _is_over(tour: Tour, watched: Run) -> bool:
    """Whether the job has left what the next page shows."""
    return watched.has_scores if tour.is_training else watched.status.state == "finished"


def _is_dead(tour: Tour, watched: Run) -> bool:
    """Whether the job has ended without what the next page shows; a paused one can go on."""
    status = watched.status
    return not status.is_live and status.state != "paused" and not _is_over(tour, watched)


def _line(tour: Tour, watched: Run) -> None:
    left = (watched.status.ended or 0) + LOOK_S - time.time()
    is_over = _is_over(tour, watched) and not watched.status.is_live
    if is_over and left <= 0:
        _go_on(tour)
        st.rerun()
    if _is_dead(tour, watched):
        st.markdown(f":material/route: {NO_RESULTS if tour.is_training else NO_TRAINING}")
        return
    here, following = ("Training", "Results open") if tour.is_training else ("Sweep", "Training opens")
    number = 2 if tour.is_training else 1
    when = f"in {left:.0f} s" if is_over else "when it has ended"
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f":material/route: Step {number} of 3: {here}. {following} {when}.", width="content")
        if is_over:
            st.button("Open now", icon=":material/arrow_forward:", key="tour-on", on_click=_go_on, args=(tour,))
        st.button("Stay on this page", key="tour-stay", type="tertiary", on_click=end)


def _go_on(tour: Tour) -> None:
    choices.choose(run=tour.run)
    st.session_state["train-view"] = training.RUN
    state.go_to(RESULTS if tour.is_training else TRAIN)
    if tour.is_training:
        end()
