"""Uploading images: files are copied to disk as they are dropped, checked by a job, and kept only after a click."""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from unetlab.data.dataset import DataSet, open_folder
from unetlab.data.intake import sources
from unetlab.errors import DataError, UnetlabError
from unetlab.runs import jobs
from unetlab.runs.status import Status
from unetlab.runs.store import Run
from unetlab.ui import dropping, hosting, incoming, live, state
from unetlab.ui.incoming import Box, Import
from unetlab.ui.text import plain

ARCHIVES = ["zip", "tar", "tgz", "gz"]
FORMATS = "PNG, JPEG, TIFF, BMP, GIF or WebP."
NAMES = "A mask has the name of its picture, or adds a word such as mask, label, gt or seg (1.png and 1_mask.png)."
PHASES = {"copying": "Copying", "decoding": "Reading", "counting classes": "Counting classes"}
POLL_S = 0.5
MAX_OFFERED = 3


def drop_zones() -> None:
    """The ways in: two boxes of files, a folder, a zip, a path on the machine that serves this page.

    Files of any kind are taken: the report lists those that are not used, and no box names twenty endings.
    """
    dropping.keep_upload_answers()
    ways = ["Files", "Folder", "Zip"] + (["Path on this machine"] if hosting.is_own_machine() else [])
    by_files, by_folder, by_zip, *by_path = st.tabs(ways)
    left, right = by_files.columns(2, gap="medium")
    with left:
        _uploader("Pictures", "images", None, multiple=True)
    with right:
        _uploader("Masks", "masks", None, multiple=True)
    by_files.caption(
        f"{FORMATS} {NAMES} All files may go into the first box, unless two have the same name. "
        f"For more than 300 files, use a zip{' or a path' if by_path else ''}."
    )
    with by_folder:
        _uploader("A folder with pictures and masks", "all", None, multiple="directory")
    with by_zip:
        _uploader("A zip with pictures and masks", "all", ARCHIVES, multiple=False)
        if by_path:
            st.caption(
                "An upload takes twice the size of the zip in memory. Above a few hundred MB, put it on this machine "
                "and give its path."
            )
    if by_path:
        with by_path[0], st.form("path-form", border=False):
            st.text_input("Folder or zip", key="path-images", placeholder="/data/cells")
            st.text_input("Masks, if they are in another folder", key="path-masks", placeholder="optional")
            st.form_submit_button("Check", icon=":material/search:", on_click=_take_path)


def lacks_the_other_box(data: DataSet) -> bool:
    """Whether only pictures, or only masks, were dropped so far: not an error, the other half is still to come.

    Where the files raise a question, such as which of several are the masks, they are more than one half; and less
    where none of them can be read.
    """
    is_half = any(
        finding.code == "no-pairs" and finding.files and not finding.together for finding in data.manifest.findings
    )
    return is_half and incoming.brought().keys() in ({"images"}, {"masks"})


def ask_for_the_other_box(data: DataSet) -> None:
    """Says which half is here and where the other goes, and which files are not read."""
    box, *_ = incoming.brought()
    here, other = ("pictures", "masks") if box == "images" else ("masks", "pictures")
    (found,) = (finding for finding in data.manifest.findings if finding.code == "no-pairs")
    count = len(found.files)
    files = f"{count} {here} are" if count > 1 else f"1 {here[:-1]} is"
    st.info(
        f"{files} in the box *{here.capitalize()}*, and no {other} were found among them. Drop the {other} into the "
        f"box *{other.capitalize()}*; a file that is already here moves there.",
        icon=":material/arrow_upward:",
    )
    if unread := found.message.partition("\n")[2]:
        st.warning(plain(unread), icon=":material/warning:")
    _start_over()


def watch(found: Import) -> None:
    """The import while it works, with a way to cancel it; or why it ended without a report."""
    run = found.run
    if run is None or run.status.state == "finished":
        st.info("This import was kept or discarded elsewhere.", icon=":material/info:")
        _ways_out(found, can_repeat=False)
    elif run.status.is_live:
        state.poll(_look, run, every=POLL_S)
        st.skeleton(height=320)
    else:
        _explain_end(found, run)


def offer() -> None:
    """Imports that run or wait and that this session does not follow: continue or discard them."""
    for found in incoming.waiting()[:MAX_OFFERED]:
        with st.container(border=True, horizontal=True, vertical_alignment="center"):
            st.markdown(f":material/inventory_2: {_what_waits(found)}", width="stretch")
            st.button("Continue", key=f"go-on-{found.folder}", on_click=incoming.adopt, args=(found,))
            st.button("Discard", key=f"discard-{found.folder}", on_click=incoming.give_up, args=(found,))


def decision(data: DataSet) -> None:
    """The name of the new data set, the button that creates it, and the way back."""
    found = incoming.current()
    if found is None:
        return
    errors = sum(finding.severity == "error" for finding in data.manifest.findings)
    key = f"name-{found.folder}"
    if key not in st.session_state:
        st.session_state[key] = incoming.free_name(data)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.text_input("Name of the data set", key=key, width=260)
        st.button(
            "Use this data set",
            type="primary",
            icon=":material/check:",
            key="use-data",
            disabled=bool(errors),
            help="Fix the errors first." if errors else None,
            on_click=_keep,
            args=(found, key),
        )
        _start_over()


def _uploader(label: str, box: Box, types: list[str] | None, *, multiple: Any) -> None:
    """A box for files. What is dropped is taken at once, and the box is empty again.

    Not by a callback: one that is broken off, or not reached, is never called again, while here the files come back
    until they are taken. Each box has turns of its own, so that a drop under way in another one goes on.
    """
    turn_key = f"upload-turn-{label}"
    turn = st.session_state.setdefault(turn_key, 0)
    key = f"upload-{label}-{turn}"
    found = st.file_uploader(label, type=types, accept_multiple_files=multiple, key=key)
    if found:
        with dropping.one_at_a_time():
            if st.session_state[turn_key] == turn:
                st.session_state[turn_key] = turn + 1
                _take(found if isinstance(found, list) else [found], box)
        st.rerun()
    count = incoming.brought()[box]
    if count:
        st.caption(f":material/check: {count} file{'s' if count > 1 else ''} copied.")


def _take(dropped: Sequence[Any], box: Box) -> None:
    """Copies what was dropped to disk, frees the server's memory and has everything checked."""
    try:
        folder = incoming.dropped_folder()
        with incoming.all_or_nothing(folder):
            written = sources.save_upload([(file.name, file) for file in dropped], into=folder, box=box)
        incoming.move_between_boxes(folder, written)
        incoming.begin_with_dropped()
    except UnetlabError as error:
        st.session_state["problem"] = str(error)
    finally:
        state.let_go(dropped)


def _take_path() -> None:
    where, masks = st.session_state["path-images"].strip(), st.session_state["path-masks"].strip()
    if where:
        state.attempt(incoming.begin_with_path, where, masks)


def _keep(found: Import, key: str) -> None:
    state.attempt(incoming.keep, found, st.session_state[key].strip())


def _look(run: Run) -> None:
    status = run.status
    if not status.is_live:
        st.rerun()
    jobs.insist(run)
    st.progress(state.fraction(status), text=_progress(status))
    st.button(
        "Cancelling" if run.has_stop else "Cancel",
        icon=":material/stop:",
        key="cancel-import",
        disabled=run.has_stop,
        on_click=state.attempt,
        args=(jobs.stop, run),
    )


def _progress(status: Status) -> str:
    """The import's progress: "Reading: 1,240 of 10,000, 12 s left"."""
    if not status.total:
        return "Checking the files"
    left = f", {state.duration(status.seconds_left)} left" if status.seconds_left is not None else ""
    return f"{PHASES.get(status.phase, status.phase)}: {status.done:,} of {status.total:,}{left}"


def _explain_end(found: Import, run: Run) -> None:
    status = run.status
    reason = plain(hosting.reason_of(status))
    if status.state == "stopped":
        st.info(reason, icon=":material/stop_circle:")
    else:
        st.error(reason, title="The import failed", icon=":material/error:")
    if status.is_bug or status.state == "lost":
        live.log(run)
    _ways_out(found, can_repeat=True)


def _ways_out(found: Import, *, can_repeat: bool) -> None:
    with st.container(horizontal=True):
        if can_repeat:
            st.button(
                "Check again",
                icon=":material/replay:",
                key="look-again",
                on_click=state.attempt,
                args=(incoming.begin_again, found),
            )
        _start_over()


def _start_over() -> None:
    st.button("Start over", icon=":material/restart_alt:", key="start-over", on_click=incoming.start_over)


def _what_waits(found: Import) -> str:
    run = found.run
    what = f"The import of {plain(run.notes.name)} from {run.when}" if run else "An import"
    if found.is_looking:
        return f"{what} is still checking its files."
    try:
        pairs = len(open_folder(found.path).manifest.pairs)
    except DataError as error:
        return plain(str(error))
    return f"{what} waits for your decision: {pairs} pair{'s' if pairs != 1 else ''}."
