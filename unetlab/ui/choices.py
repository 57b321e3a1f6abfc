"""What is chosen: data set, training run, sweep, view. Kept in the session and the URL; no widget owns it.

Streamlit forgets a widget's value when a script run ends without drawing the widget, as after every callback that opens
another page: docs/decisions/0013-choices.md.
"""

from collections import Counter
from collections.abc import Callable, Sequence

import streamlit as st

from unetlab.errors import UnetlabError
from unetlab.runs.store import open_run
from unetlab.ui import state
from unetlab.ui.text import plain

BOX_CHARACTERS = 27  # of a title, as many as a box in the sidebar shows; it cuts the rest
WORDS = {"dataset": "data set", "run": "training run", "sweep": "sweep"}  # by key in the session and in the URL


def choose(**chosen: str) -> None:
    """Chooses `dataset`, `run` or `sweep`, from a callback or a page; another data set clears run and sweep."""
    if chosen.get("dataset", st.session_state.get("dataset")) != st.session_state.get("dataset"):
        chosen = {"run": "", "sweep": ""} | chosen
    st.session_state.update(chosen)
    st.session_state.pop("gone", None)


def open_on(page: str) -> None:
    """In a new session takes the choices from the URL; on another page forgets which choices were reported gone."""
    for key in WORDS:
        st.session_state.setdefault(key, st.query_params.get(key, ""))
    if st.session_state["run"] and not st.session_state["dataset"]:
        st.session_state["dataset"] = _dataset_of("run")
    if st.session_state.get("gone-on") != page:
        st.session_state["gone-on"] = page
        st.session_state.pop("gone", None)


def datasets() -> dict[str, str]:
    """All data sets by name, each with its title; last, the chosen one if it was deleted and a run of it is chosen."""
    names, chosen = {name: name for name in state.dataset_names()}, st.session_state["dataset"]
    is_kept = chosen and chosen not in names and any(_dataset_of(key) == chosen for key in ("run", "sweep"))
    return names | {chosen: f"{chosen} (deleted)"} if is_kept else names


def _dataset_of(key: str) -> str:
    """The data set of the chosen run or sweep."""
    try:
        return open_run(state.workspace(), st.session_state[key]).config.dataset if st.session_state[key] else ""
    except UnetlabError:  # deleted
        return ""


def select(
    key: str, label: str, options: Sequence[str], title: Callable[[str], str], *, help: str | None = None
) -> str:
    """A select box that shows a choice, by default the newest, which comes first. Returns "" without options.

    A title that is too long for the box stands below it.

    If the chosen one is gone, the newest takes its place, and `tell_gone` says so.
    """
    wanted = st.session_state[key]
    if wanted not in options:
        st.session_state[key] = options[0] if options else ""
        if wanted:
            _note_gone(key, wanted, title)
    chosen = st.session_state[key]
    if options:
        titles, last = distinct(options, title), st.session_state.get(f"{key}-title")
        if last and last[0] == chosen and last[1] != titles[chosen]:  # renamed: the widget would keep the old title
            st.session_state[f"{key}-shown"] = (None, st.session_state[f"{key}-shown"][1])
        st.session_state[f"{key}-title"] = (chosen, titles[chosen])
        box = box_key(key)
        st.selectbox(
            label,
            options,
            options.index(chosen),
            titles.__getitem__,
            key=box,
            help=help,
            on_change=take_over,
            args=(key, box, options),
        )
        if len(titles[chosen]) > BOX_CHARACTERS:
            st.caption(plain(titles[chosen]))
    into_url()
    return chosen


def box_key(key: str) -> str:
    """The key of the widget that shows `st.session_state[key]`: a new one each time code has changed the value.

    A browser sends the values of all widgets with each click, also those that code has changed meanwhile; with a new
    key, the widget is not taken for the old one, whose value would undo the change.
    """
    shown, turn = st.session_state.get(f"{key}-shown", (None, 0))
    if shown != st.session_state[key]:
        turn += 1
        st.session_state[f"{key}-shown"] = (st.session_state[key], turn)
    return f"{key}-box-{turn}"


def distinct(options: Sequence[str], title: Callable[[str], str]) -> dict[str, str]:
    """Option -> its title, with the end of its id if others have the same title: a browser answers with titles."""
    titles = {option: title(option) for option in options}
    count = Counter(titles.values())
    return {option: said if count[said] == 1 else f"{said} · {option[-4:]}" for option, said in titles.items()}


def take_over(key: str, box: str, options: Sequence[str]) -> None:
    """A callback: chooses what the user picked in the widget `box`.

    A title that has changed meanwhile, for example by a new name, comes back as mere text: that is not a choice, and
    a new widget takes the place of this one. A click that comes before the browser has put away an older widget brings
    that one's value along: that is no choice either.
    """
    value = st.session_state[box]
    _, turn = st.session_state[f"{key}-shown"]
    if box != f"{key}-box-{turn}":
        return
    if value is not None and value not in options:
        st.session_state[f"{key}-shown"] = (None, turn)
    elif value is not None:
        st.session_state[f"{key}-shown"] = (value, turn)  # the widget stays, and the keyboard's focus on it
        choose(**{key: value})


def into_url() -> None:
    """Writes what is chosen into the URL, which a click on a page's name has emptied."""
    for key in WORDS:
        chosen = st.session_state[key]
        if chosen and st.query_params.get(key) != chosen:
            st.query_params[key] = chosen
        elif not chosen and key in st.query_params:
            del st.query_params[key]


def link(page: str, *, label: str, icon: str) -> None:
    """A link to a page that carries what is chosen with it, also into another tab."""
    chosen = {key: st.session_state.get(key) for key in WORDS}
    st.page_link(page, label=label, icon=icon, query_params={key: value for key, value in chosen.items() if value})


def tell_gone(*keys: str) -> None:
    """Says which of these was chosen and is gone, and what is shown in its place."""
    for key, sentence in st.session_state.get("gone", {}).items():
        if key in keys:
            st.warning(sentence, icon=":material/link_off:")


def _note_gone(key: str, wanted: str, title: Callable[[str], str]) -> None:
    shown = st.session_state[key]
    owner = "This workspace" if key == "dataset" else f"The data set **{plain(st.session_state['dataset'])}**"
    now = f"The newest, **{plain(title(shown))}**, is shown instead." if shown else "It has none yet."
    sentence = f"{owner} has no {WORDS[key]} **{plain(wanted[:80])}** (any more). {now}"
    if key == "dataset":
        st.session_state.update({"run": "", "sweep": ""})  # they went with it
    st.session_state["gone"] = st.session_state.get("gone", {}) | {key: sentence}
