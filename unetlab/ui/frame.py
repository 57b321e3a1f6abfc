"""The frame around every page: what is chosen, what runs and what waits."""

import itertools

import streamlit as st
from streamlit.delta_generator import DeltaGenerator
from streamlit.runtime.pages_manager import PagesManager

from unetlab.config import OVER_SOON
from unetlab.runs import devices, freeing, jobs, queue, warm
from unetlab.runs.status import Status
from unetlab.runs.store import Run
from unetlab.ui import choices, free_memory, hosting, incoming, live, state, training
from unetlab.ui.text import plain

POLL_S = 5
PAGE_OF = {"train": "train", "lr_find": "learning_rate", "import": "data"}  # where a job is watched
# the link may be drawn after the script has been run
CLICK_NEXT = """(() => {
    const waiting = setInterval(() => {
        const link = document.querySelector(".st-key-next-page a");
        if (link) { clearInterval(waiting); link.click(); }
    }, 10);
})();"""

_script_runs = itertools.count()


def is_first_session() -> bool:
    """Whether no script has called st.navigation in this process yet. Call once per script run, before it."""
    return next(_script_runs) == 0 and bool(PagesManager.uses_pages_directory)


def mend_deep_link(page: st.Page, *, is_first_session: bool) -> None:
    """Reloads the page if it is the first one that a fresh server shows and is not Home.

    If there is a folder `pages/`, Streamlit looks there first, finds no such page and opens a "Page not found" dialog
    over the right page (1.67); every later session is fine. docs/decisions/0005-pages-folder.md.
    """
    if is_first_session and page.url_path:
        st.html("<script>window.location.reload()</script>", unsafe_allow_javascript=True)
        st.stop()


def open_next() -> bool:
    """Whether a click asked for another page (`state.go_to`): the browser opens it, and nothing else may be drawn.

    `st.switch_page` would open it while the browser still polls the old page: a poll that comes late takes the browser
    back to that page, which is then blank (1.67). docs/decisions/0014-page-changes.md.
    """
    page = st.session_state.pop("next-page", None)
    if page is None:
        return False
    with st.container(key="next-page"):
        choices.link(page, label="Continue", icon=":material/arrow_forward:")
    st.html(f"<script>{CLICK_NEXT}</script>", unsafe_allow_javascript=True)
    return True


def draw(page: str) -> None:
    """The sidebar; above `page` (its URL path) what was chosen and is gone, and a problem from the last click."""
    incoming.sweep(state.workspace())
    if page == "train" and "run" not in st.session_state:  # the session begins here
        training.open_as_in_url()
    choices.open_on(page)
    problem = st.session_state.pop("problem", None)
    with st.sidebar:
        st.markdown("### unetlab")
        names = choices.datasets()
        dataset = choices.select("dataset", "Data set", list(names), names.__getitem__, help="Shown on all pages.")
        if not dataset:
            st.caption("No data set yet. Upload images on the Data page, or try the sample on Home.")
        choices.select("run", "Training run", state.runs_of(dataset, "train"), state.run_titles())
    line = st.empty()  # at the top of the page; the sidebar's polling fills it
    with st.sidebar:
        state.poll(_status_card, page, line, every=POLL_S)
        free_memory.button()
    if page == "data" or _watched(page) is None:  # else the tab keeps the run's title until that is told anew
        st.set_page_config(page_title="unetlab")
    choices.tell_gone("dataset", "run")
    if problem:
        st.error(plain(problem), title="That did not work", icon=":material/error:")
    state.scroll_up_once()


def _status_card(page: str, line: DeltaGenerator) -> None:
    alive, watched = free_memory.living(), _watched(page)
    shown = [(run, status) for run, status in alive if run.config.kind not in OVER_SOON]
    _line(line, [(run, status) for run, status in shown if status.state == "running" and run.id != watched])
    if not shown:
        st.caption("Nothing is running.")
    for run, status in shown:
        _job(run, status, alive, is_watched=run.id == watched)
    if queue.read_queue(state.workspace()).is_held:
        st.warning("Queue paused: nothing new starts.", icon=":material/pause_circle:")
        st.button(
            "Resume queue",
            on_click=state.attempt,
            args=(freeing.release, state.workspace()),
            key="release",
            width="stretch",
        )
    ours = {status.pid for _, status in alive if status.pid} | warm.living(state.workspace()).keys()
    for memory in devices.read_memory(list(ours)):
        free_memory.bar(memory)


def _watched(page: str) -> str | None:
    """The run whose progress the page itself shows."""
    if page == "learning_rate":
        return st.session_state["sweep"]
    if page == "data":
        found, is_shown = incoming.current(), st.session_state.get("data-view", incoming.BRING) == incoming.BRING
        return found.run_id if found and is_shown else None
    is_run_shown = page == "train" and st.session_state.get("train-view", training.RUN) == training.RUN
    return st.session_state["run"] if is_run_shown or page == "results" else None


def _line(place: DeltaGenerator, running: list[tuple[Run, Status]]) -> None:
    """What runs, in one line above the page, and a way to watch it; style.css shows it where the sidebar is closed."""
    if not running:
        place.empty()
        return
    run, status = running[0]
    with place.container(horizontal=True, vertical_alignment="center", key="running-line"):
        st.markdown(f":small[**{plain(run.title)}** · {plain(state.progress_text(run, status))}]", width="stretch")
        if run.config.kind in PAGE_OF:
            st.button(
                "Watch",
                icon=":material/arrow_forward:",
                type="tertiary",
                key=f"watch-{run.id}",
                on_click=_watch,
                args=(run,),
            )


def _watch(run: Run) -> None:
    """A callback: chooses the run and opens the page that shows it."""
    kind = run.config.kind
    if kind == "train":
        choices.choose(dataset=run.config.dataset, run=run.id)
        st.session_state["train-view"] = training.RUN
    elif kind == "lr_find":
        choices.choose(dataset=run.config.dataset, sweep=run.id)
    state.go_to(f"pages/lab/{PAGE_OF[kind]}.py")


def _job(run: Run, status: Status, others: list[tuple[Run, Status]], *, is_watched: bool = False) -> None:
    word, icon, color = state.STATE_WORDS[status.state]
    kind, title = run.kind_word, run.title  # of a run without a name it begins with the kind
    said = f"**{kind.capitalize()}** {plain(title)}" if run.notes.name else f"**{plain(title[0].upper() + title[1:])}**"
    st.markdown(f"{icon} {said} :{color}-badge[{word}]")
    if status.state == "queued":
        waits = jobs.waits_for(run, status, others, names_processes=hosting.is_own_machine())
        st.caption(f"{waits[0].upper()}{plain(waits[1:])}.")
    elif not status.is_responding:
        st.caption("Not responding; still alive. Stop it, or wait.")
    elif not is_watched:  # else the page shows it
        st.progress(state.fraction(status), text=plain(state.progress_text(run, status)))
    with st.container(horizontal=True, gap="xsmall"):  # three buttons in a line of 224 px
        live.stop_button(run, status, key=f"stop-{run.id}", keeps="what it has")
        if status.state == "queued":
            _movers(run)


def _movers(run: Run) -> None:
    """Buttons that move a waiting run in the queue; none if no other run waits for its device."""
    line = queue.line_of(run)
    if len(line) < 2 or run.id not in line:
        return
    for place, label, end in (("up", "Earlier", 0), ("down", "Later", -1)):
        st.button(
            label,
            key=f"{place}-{run.id}",
            disabled=line[end] == run.id,
            on_click=state.attempt,
            args=(queue.move, run, place),
        )
