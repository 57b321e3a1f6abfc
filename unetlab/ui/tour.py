"""The tour of a sweep and the training behind it: the next page opens by itself while its job is being watched.

The training that it is for stands in the URL and outlives a reload. Another page, run or sweep interrupts it: only a
page that was open while its job ran is left by itself, so that nobody is taken away from what he has chosen.
"""

import time
from typing import NamedTuple

import streamlit as st

from unetlab.errors import UnetlabError
from unetlab.runs.store import Run, open_run
from unetlab.ui import choices, state, training

LEARNING_RATE, TRAIN, RESULTS = (f"pages/lab/{name}.py" for name in ("learning_rate", "train", "results"))
LOOK_S = 6.0  # how long the end of a job is shown before the next page opens
KEY = "tour"  # in the session and in the URL: the id of the training, "" without a tour
WATCHED = "tour-watched"  # in the session: the page on which its job was seen before its end

NO_TRAINING = "The sweep did not finish, so the training did not start."
NO_RESULTS = "The training ended without scores, so there are no results."


class Step(NamedTuple):
    """The job that a page shows: the sweep, or the training behind it."""

    job: Run
    is_training: bool

    @property
    def is_over(self) -> bool:
        """Whether the job has left what the next page shows; scores are there a moment before the training ends."""
        return self.job.has_scores if self.is_training else self.job.status.state == "finished"

    @property
    def has_ended(self) -> bool:
        """Whether the next page can be opened."""
        return self.is_over and not self.job.status.is_live

    @property
    def is_dead(self) -> bool:
        """Whether the job has ended without what the next page shows; a paused one can go on."""
        status = self.job.status
        return not status.is_live and status.state != "paused" and not self.is_over


def begin(sweep: Run, run: Run) -> None:
    """A callback: opens the page of the sweep."""
    choices.choose(dataset=run.config.dataset, sweep=sweep.id, run=run.id)
    st.session_state.update({KEY: run.id, "train-view": training.RUN})
    state.go_to(LEARNING_RATE)


def draw(page: str) -> None:
    """Above `page` (its URL path) what opens next by itself, while there is a tour and its job is on that page."""
    training_id = st.session_state.setdefault(KEY, st.query_params.get(KEY, ""))
    step = _step(training_id, page) if training_id else None
    if st.session_state[KEY]:
        st.query_params[KEY] = training_id
    elif KEY in st.query_params:
        del st.query_params[KEY]
    if step is None:
        st.session_state.pop(WATCHED, None)
        return
    if not step.has_ended:
        st.session_state[WATCHED] = page
    if st.session_state.get(WATCHED) == page:
        with st.container(key="tour"):
            state.poll(_line, step, training_id, every=1.0 if step.is_over else None)


def end() -> None:
    """Opens no more pages by itself; also a callback."""
    st.session_state[KEY] = ""


def _step(training_id: str, page: str) -> Step | None:
    """What the page shows of the tour, which ends when one of its runs is gone."""
    seen = st.session_state
    try:
        run = open_run(state.workspace(), training_id)
        source = run.config.lr_from
        if source is None or (page == "results" and seen["run"] == training_id and not run.status.is_live):
            end()  # an address that somebody has typed; or there is nothing more to open
        elif page == "learning_rate" and seen["sweep"] == source.sweep:
            return Step(open_run(state.workspace(), source.sweep), is_training=False)
        elif page == "train" and seen["run"] == training_id and seen.get("train-view", training.RUN) == training.RUN:
            return Step(run, is_training=True)
    except UnetlabError:  # deleted
        end()
    return None


def _line(step: Step, training_id: str) -> None:
    if not st.session_state[KEY]:
        st.rerun()  # Stay on this page was pressed
    is_over, left = step.has_ended, (step.job.status.ended or 0) + LOOK_S - time.time()
    if is_over and left <= 0:
        _go_on(step, training_id)
        st.rerun()
    if step.is_dead:
        st.markdown(f":material/route: {NO_RESULTS if step.is_training else NO_TRAINING}")
        return
    here, following = ("Training", "Results open") if step.is_training else ("Sweep", "Training opens")
    number = 2 if step.is_training else 1
    when = f"in {left:.0f} s" if is_over else "when it has ended"
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f":material/route: Step {number} of 3: {here}. {following} {when}.", width="content")
        if is_over:
            args = (step, training_id)
            st.button("Open now", icon=":material/arrow_forward:", key="tour-on", on_click=_go_on, args=args)
        st.button("Stay on this page", key="tour-stay", type="tertiary", on_click=end)


def _go_on(step: Step, training_id: str) -> None:
    choices.choose(run=training_id)
    st.session_state.update({"train-view": training.RUN, WATCHED: "train"})
    state.go_to(RESULTS if step.is_training else TRAIN)
    if step.is_training:
        end()
