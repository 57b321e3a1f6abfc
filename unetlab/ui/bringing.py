"""Bringing pictures: files are copied to disk as they are dropped, looked at, and kept only after a click."""

import os
import re
import secrets
import shutil
import time
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from unetlab import files
from unetlab.data import drawing, importing, masks, readings, sources
from unetlab.data.examples import draw_examples
from unetlab.data.inspection import Inspection
from unetlab.data.masks import Survey
from unetlab.errors import DataError, NoPairs, UnetlabError
from unetlab.ui import charts, state

PICTURE_TYPES = ["png", "jpg", "jpeg", "tif", "tiff", "bmp", "gif", "webp"]
NAMES = (
    "Names that are understood: the same name in both boxes, or with mask, label, gt, seg or the like before or "
    "after it (1.png and 1_mask.png)."
)
FORGOTTEN_S = 24 * 3600
Box = Literal["images", "masks", "all"]


def drop_zones() -> None:
    """The ways in: two boxes of files, a folder, a zip, a path on the machine that serves this page."""
    ways = ["Files", "Folder", "Zip"] + (["Path on this machine"] if paths_are_allowed() else [])
    by_files, by_folder, by_zip, *by_path = st.tabs(ways)
    left, right = by_files.columns(2, gap="medium")
    with left:
        _uploader("Pictures", "images", PICTURE_TYPES, multiple=True)
    with right:
        _uploader("Masks", "masks", PICTURE_TYPES, multiple=True)
    by_files.caption(
        f"{NAMES} All in the first box works too, when names tell them apart. More than 300 files: take "
        "a zip or a path."
    )
    with by_folder:
        _uploader("A folder with pictures and masks", "all", [*PICTURE_TYPES, "csv", "txt"], multiple="directory")
    with by_zip:
        _uploader("A zip with pictures and masks", "all", ["zip"], multiple=False)
        st.caption("A very large zip is held in memory while it is uploaded; a path on this machine is not.")
    if by_path:
        with by_path[0], st.form("path-form", border=False):
            st.text_input("Folder or zip", key="path-images", placeholder="/data/cells")
            st.text_input("Masks, if they lie elsewhere", key="path-masks", placeholder="optional")
            st.form_submit_button("Look at it", icon=":material/search:", on_click=_take_path)


def paths_are_allowed() -> bool:
    """Whether the page may read folders of its server: switched off with UNETLAB_ALLOW_PATHS=0."""
    return os.environ.get("UNETLAB_ALLOW_PATHS", "1") != "0"


def _uploader(label: str, box: Box, types: list[str], *, multiple: Any) -> None:
    turn = st.session_state.setdefault("upload-turn", 0)
    key = f"upload-{label}-{turn}"
    st.file_uploader(
        label, type=types, accept_multiple_files=multiple, key=key, on_change=_take_upload, args=(key, box)
    )
    count = st.session_state.get("brought", {}).get(box, 0)
    if count:
        st.caption(f":material/check: {count} file{'s' if count > 1 else ''} copied.")


def _take_upload(key: str, box: Box) -> None:
    """A callback: copies what was dropped to disk and lets the server's memory go."""
    dropped = st.session_state.get(key) or []
    dropped = dropped if isinstance(dropped, list) else [dropped]
    if not dropped:
        return
    folder = _incoming()
    try:
        written = sources.save_upload([(file.name, file) for file in dropped], into=folder, box=box)
        brought = st.session_state.setdefault("brought", {})
        brought[box] = brought.get(box, 0) + len(written)
        st.session_state["look"] = (str(folder), None)
    except UnetlabError as error:
        st.session_state["problem"] = str(error)
    finally:
        _let_go(dropped)
        st.session_state["upload-turn"] += 1


def _let_go(dropped: list[Any]) -> None:
    """Frees uploaded bytes, which Streamlit would keep until the session ends. Private API, hence so careful."""
    try:
        context = get_script_run_ctx()
        for file in dropped:
            context.uploaded_file_mgr.remove_file(context.session_id, file.file_id)  # type: ignore[union-attr]
    except AttributeError:
        pass


def _take_path() -> None:
    where, elsewhere = st.session_state["path-images"].strip(), st.session_state["path-masks"].strip()
    if where:
        st.session_state["look"] = (where, elsewhere or None)


def _incoming() -> Path:
    """This session's folder for dropped files; those forgotten by others for a day are swept."""
    parent = files.home() / "incoming"
    parent.mkdir(exist_ok=True)
    for old in parent.iterdir():
        if time.time() - old.stat().st_mtime > FORGOTTEN_S:
            shutil.rmtree(old, ignore_errors=True)
    folder = parent / st.session_state.setdefault("incoming", secrets.token_hex(8))
    folder.mkdir(exist_ok=True)
    return folder


def start_over() -> None:
    """A callback: forgets what was dropped."""
    found = st.session_state.pop("inspection", None)
    if found:
        importing.discard(found)
    if "incoming" in st.session_state:
        shutil.rmtree(files.home() / "incoming" / st.session_state.pop("incoming"), ignore_errors=True)
    for key in ("look", "brought", "looked-at", "look-problem"):
        st.session_state.pop(key, None)


def inspection() -> Inspection | None:
    """What was found in what was brought; looked at once for each drop. Shows why when nothing can be made of it."""
    look = st.session_state.get("look")
    if look is None:
        return None
    stamp = (look, tuple(sorted(st.session_state.get("brought", {}).items())))
    if st.session_state.get("looked-at") != stamp:
        old = st.session_state.pop("inspection", None)
        if old:
            importing.discard(old)
        st.session_state["look-problem"] = _inspect(*look)
        st.session_state["looked-at"] = stamp
    problem = st.session_state.get("look-problem")
    if problem:
        _explain_problem(problem)
        st.button("Start over", icon=":material/restart_alt:", on_click=start_over, key="start-over-problem")
    return st.session_state.get("inspection")


def _inspect(where: str, elsewhere: str | None) -> UnetlabError | None:
    folder, brought = Path(where).expanduser(), st.session_state.get("brought", {})
    mask_folder = Path(elsewhere).expanduser() if elsewhere else None
    if brought.get("masks") and brought.get("images") and not elsewhere:
        folder, mask_folder = folder / "images", folder / "masks"
    bar = st.progress(0.0, text="Looking at the files")

    def progress(phase: str, done: int, total: int) -> None:
        bar.progress(done / max(total, 1), text=f"{phase}: {done} of {total}")

    try:
        st.session_state["inspection"] = importing.inspect([folder], masks=mask_folder, progress=progress)
    except UnetlabError as error:
        return error
    finally:
        bar.empty()
    return None


def _explain_problem(problem: UnetlabError) -> None:
    brought = st.session_state.get("brought", {})
    if isinstance(problem, NoPairs) and brought.keys() == {"images"}:
        st.info(
            f"{brought['images']} pictures are here. Now drop their masks into the second box.",
            icon=":material/arrow_upward:",
        )
    elif isinstance(problem, NoPairs) and brought.keys() == {"masks"}:
        st.info(
            f"{brought['masks']} masks are here. Now drop their pictures into the first box.",
            icon=":material/arrow_upward:",
        )
    else:
        st.error(str(problem), title="This cannot be used yet", icon=":material/error:")


def show_inspection(found: Inspection) -> str | None:
    """The pairs, what was left over, how the masks are read; returns the chosen reading's key (None: the proposal)."""
    left = [
        ("pictures without a mask", found.pairing.unmatched_images),
        ("masks without a picture", found.pairing.unmatched_masks),
        ("other files, not used", found.pairing.ignored_files),
    ]
    st.subheader(f"{len(found.pairs)} pairs found")
    for problem in found.problems:
        (st.info if problem.severity == "info" else st.warning)(problem.message)
    for what, names in left:
        if names:
            with st.expander(f"{len(names)} {what}", icon=":material/link_off:", key=f"left-{what}"):
                st.dataframe(pd.DataFrame({"file": names}), hide_index=True, alt=what)
    chosen = _reading(found)
    _examples(found, chosen)
    with st.expander("How each pair was matched", icon=":material/link:"):
        rows = [{"picture": pair.image, "mask": pair.mask, "matched by": pair.how} for pair in found.pairs]
        st.dataframe(pd.DataFrame(rows), hide_index=True, alt="Pictures, masks and how they were matched")
    return chosen


def _reading(found: Inspection) -> str | None:
    if found.question is None:
        st.markdown(f":material/palette: Masks: {found.reading.meaning}." if found.reading else "")
        return None
    st.warning(found.question.question, title="How are these masks to be read?", icon=":material/help:")
    st.altair_chart(charts.value_histogram(_histogram(found.survey)), alt="Pixels per mask value, log scale")
    choices = dict(found.question.choices)
    return st.radio("Read the masks as", list(choices), format_func=lambda key: f"{key}: {choices[key]}", key="reading")


def _histogram(survey: Survey) -> pd.DataFrame:
    """The commonest values of the masks, at most 60, in their order."""
    common = sorted(sorted(survey.pixels, key=lambda value: -survey.pixels[value])[:60])
    rows = [(masks.label_of(value, survey.part), survey.pixels[value], survey.files[value]) for value in common]
    return pd.DataFrame(rows, columns=["value", "pixels", "files"])


def _examples(found: Inspection, chosen: str | None) -> None:
    reading = found.reading
    if chosen is not None:
        try:
            reading = readings.read_as(found.survey, chosen, found.class_file)
        except DataError as error:
            st.error(str(error))
            return
    if reading is None:
        return
    st.caption("Pictures with their masks, as they will be read:")
    with st.grid(4, min_column_width=150, gap="small"):
        for name, drawn in draw_examples(found, reading):
            small = drawing.thumbnail(drawn, 320)
            st.image(small, caption=name, width="stretch", output_format="JPEG", alt=f"{name} with its mask")


def keep(found: Inspection, name: str, valid_fraction: float, reading: str | None) -> None:
    """Makes the inspected files a data set and chooses it; asks nothing more. Errors are shown here."""
    bar = st.progress(0.0, text="Decoding")

    def progress(phase: str, done: int, total: int) -> None:
        bar.progress(done / max(total, 1), text=f"{phase}: {done} of {total}")

    try:
        importing.free_folder(name)  # before the staging folder is used up
        manifest = importing.commit(found, name=name, reading=reading, valid_fraction=valid_fraction, progress=progress)
    except UnetlabError as error:
        bar.empty()
        st.error(str(error), icon=":material/error:")
        return
    start_over()
    st.session_state["next-dataset"] = manifest.name
    st.session_state.pop("data-view", None)
    st.rerun()


def free_name(found: Inspection) -> str:
    """A name nobody has used yet, from the folder or zip that was brought."""
    where = Path(st.session_state["look"][0])
    stem = "pictures" if "incoming" in where.parts else where.stem
    stem = re.sub(r"[^A-Za-z0-9_.-]+", "-", stem).strip("-._")[:60] or "pictures"
    taken = set(state.dataset_names())
    return next(name for n in range(1, 10_000) if (name := stem if n == 1 else f"{stem}-{n}") not in taken)
