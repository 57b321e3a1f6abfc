"""The page list and the frame around every page; nothing else. Start with `make run`."""

import gc
from pathlib import Path

import streamlit as st

from unetlab.errors import UnetlabError
from unetlab.ui import frame, hosting, state, tour
from unetlab.ui.text import plain
from unetlab.workspace import own_workspace

# the letter U; each browser would fetch a Material icon from Google
ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24" fill="none" stroke="#0b6b8a" stroke-width="4">'
    '<path d="M5 3v9a7 7 0 0 0 14 0V3"/></svg>'
)


@st.cache_resource(show_spinner=False)
def set_aside_modules() -> None:
    """Hides everything loaded so far from the garbage collector, once per process.

    Streamlit collects garbage after every script run and panel refresh, and would go through all of it each time.
    """
    gc.collect()
    gc.freeze()


if not hosting.is_own_machine():
    st.set_option("client.showErrorDetails", "none")  # a bug's traceback stays in the server's log
st.set_page_config(page_icon=ICON, layout="wide")  # the title: frame.draw, and live.py of a run

st.html(Path(hosting.__file__).with_name("style.css"))
is_first = frame.is_first_session()
page = st.navigation(
    [
        st.Page(
            "pages/lab/home.py",
            title="Home",
            icon=":material/home:",
            default=True,
            help="The steps and your latest runs.",
        ),
        st.Page(
            "pages/lab/data.py",
            title="Data",
            icon=":material/photo_library:",
            help="Upload images and masks, and check how they were paired.",
        ),
        st.Page(
            "pages/lab/learning_rate.py",
            title="Learning rate",
            icon=":material/query_stats:",
            help="Sweep the learning rate and choose one to train with.",
        ),
        st.Page(
            "pages/lab/train.py",
            title="Train",
            icon=":material/model_training:",
            help="Train a U-Net and watch losses, learning rate and predicted masks.",
        ),
        st.Page(
            "pages/lab/results.py",
            title="Results",
            icon=":material/fact_check:",
            help="Scores per class, the worst pictures first, curves and downloads.",
        ),
        st.Page(
            "pages/lab/runs.py",
            title="Runs",
            icon=":material/list:",
            help="All runs in a table: find, open, tag and delete them.",
        ),
    ],
    position="top",
)

frame.mend_deep_link(page, is_first_session=is_first)
try:
    state.enter(own_workspace())
    if not frame.open_next():
        with st.container(key="above"):  # the page below keeps its place whatever is said above it
            frame.draw(page.url_path)
            tour.draw(page.url_path)
        page.run()
except UnetlabError as error:
    st.error(plain(str(error)), title="This cannot be shown", icon=":material/error:")
set_aside_modules()
