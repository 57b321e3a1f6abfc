"""Changes to a stored set: pictures added, replaced, added back; its versions; download as a zip; deletion."""

import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import streamlit as st

from unetlab.data import changes, portable
from unetlab.data.dataset import DataSet, delete_dataset
from unetlab.data.intake import sources
from unetlab.data.manifest import Manifest
from unetlab.errors import DataError, UnetlabError
from unetlab.ui import forms, hosting, state
from unetlab.ui.text import plain

MAX_DOWNLOAD = 500 * 10**6  # bytes: a download is held in the server's memory


def draw(data: DataSet) -> None:
    """Everything that can be done with a stored set except training on it."""
    with st.expander("Add or replace pictures", icon=":material/add_photo_alternate:", key="adding"):
        _add(data)
    _left_out(data)
    versions = len(list((data.folder / "versions").glob("*.json")))
    older = f" {versions} versions are kept for the runs that saw them." if versions > 1 else ""
    st.caption(f":material/history: Version {data.manifest.version} of {plain(data.name)}.{older}")
    with st.container(horizontal=True):
        _export(data)
        with st.popover("Delete this data set", icon=":material/delete:"):
            st.write(
                f"This deletes **{plain(data.name)}** with its copies of your files. Runs keep their scores and models."
            )
            st.button("Delete it", key="delete-data", on_click=state.attempt, args=(_delete, data.name))


def places_of(names: Sequence[str], manifest: Manifest, *, box: Literal["images", "masks"]) -> dict[str, str]:
    """Where each dropped file belongs below `originals/`, by its name: in the place of an existing file of that name,
    else beside the other pictures, or masks."""
    known = [pair.image if box == "images" else pair.mask for pair in manifest.pairs]
    known = [file for file in known if not file.startswith("../")]  # masks that were made here were never dropped
    folders = Counter(file.rpartition("/")[0] for file in known)
    folder = folders.most_common(1)[0][0] if folders else box
    by_name = {file.rpartition("/")[2]: file for file in known}
    return {name: by_name.get(name, f"{folder}/{name}".lstrip("/")) for name in names}


def told(before: Manifest, after: Manifest) -> str:
    """What adding the files changed, as a sentence."""
    old = {(pair.image, pair.page): pair for pair in before.pairs}
    new = {(pair.image, pair.page): pair for pair in after.pairs}
    added = len(new.keys() - old.keys())
    replaced = sum(
        (old[place].image_key, old[place].mask_key) != (new[place].image_key, new[place].mask_key)
        for place in new.keys() & old.keys()
    )
    if not added and not replaced:
        return "Nothing changed: there is no new pair, and no file differs. Unused files are listed above."
    parts = [f"{added} pair{'s' if added != 1 else ''} added"] if added else []
    parts += [f"{replaced} replaced"] if replaced else []
    return f"{', '.join(parts)}: version {after.version}. Runs that saw version {before.version} keep it."


def _add(data: DataSet) -> None:
    if "living-told" in st.session_state:
        st.success(st.session_state.pop("living-told"), icon=":material/check:")
    st.caption(
        "A file replaces an existing one of the same name. Earlier runs keep the version they saw, and no picture "
        "changes sides between training and validation."
    )
    turn = st.session_state.setdefault("living-turn", 0)
    with st.form(f"add-{turn}", border=False):
        left, right = st.columns(2, gap="medium")
        with left:
            pictures = st.file_uploader("More pictures", accept_multiple_files=True)
        with right:
            masks = st.file_uploader("Their masks", accept_multiple_files=True)
        path = ""
        if hosting.is_own_machine():
            path = st.text_input("Or a folder or zip on this machine", placeholder="same layout as the set")
        if not st.form_submit_button("Add them", icon=":material/add:"):
            return
    try:
        after = _taken(data, pictures, masks, path.strip())
        st.session_state.update({"living-told": told(data.manifest, after), "living-turn": turn + 1})
    except UnetlabError as error:
        st.session_state["problem"] = str(error)
    finally:
        state.let_go([*pictures, *masks])
    st.rerun()


def _taken(data: DataSet, pictures: list, masks: list, path: str) -> Manifest:
    """Copies what was dropped and adds it, with a progress bar. Raises DataError and UnreadableFile."""
    bar = st.progress(0.0, text="Copying")

    def progress(phase: str, done: int, total: int) -> None:
        bar.progress(min(done / max(total, 1), 1.0), text=f"{phase.capitalize()}: {done:,} of {total:,}")

    if path:
        return changes.add_files(data.folder, [Path(path).expanduser()], progress=progress)
    if not pictures and not masks:
        raise DataError("There is nothing to add yet: drop pictures and their masks, or give a path.")
    boxes: list[tuple[Literal["images", "masks"], list]] = [("images", pictures), ("masks", masks)]
    with tempfile.TemporaryDirectory(dir=state.workspace().incoming, prefix=".adding-") as folder:
        for box, dropped in boxes:
            places = places_of([file.name for file in dropped], data.manifest, box=box)
            sources.save_upload([(places[file.name], file) for file in dropped], into=Path(folder), box="all")
        return changes.add_files(data.folder, [Path(folder)], progress=progress)


def _left_out(data: DataSet) -> None:
    excluded = data.manifest.choices.excluded
    if not excluded:
        return
    with st.expander(f"Left out ({len(excluded)})", icon=":material/hide_image:", key="left-out"):
        key = f"bring-back-{data.folder.name}"
        st.session_state[key] = [file for file in st.session_state.get(key, []) if file in excluded]
        returning = st.multiselect("Add back", excluded, key=key, placeholder="all, or choose some")
        st.button(
            f"Add {len(returning) or 'all'} back",
            icon=":material/undo:",
            key="bring-back",
            on_click=state.attempt,
            args=(changes.revise, data.folder, {"included": returning or excluded}),
        )


def _export(data: DataSet) -> None:
    name, folder = f"{data.name}-v{data.manifest.version}.zip", state.workspace().exports
    if _num_bytes(str(data.folder), data.manifest.version) < MAX_DOWNLOAD:
        st.download_button(
            "Download as one zip",
            lambda: _zipped(data, folder),  # called outside a script run, where there is no session
            name,
            "application/zip",
            icon=":material/download:",
            key="download-data",
            on_click="ignore",
            help="Files, pairs, classes and split. Uploaded to any unetlab, it becomes the same data set again.",
        )
    elif st.button("Write as one zip", icon=":material/archive:", key="export-data", help="Too large for a browser."):
        target, bar = folder / name, st.progress(0.0, text="Writing")

        def progress(done: int, total: int) -> None:
            bar.progress(done / total, text=f"Writing: {done:,} of {total:,}")

        portable.export_zip(data, target, progress=progress)
        st.success(f"Written to {plain(str(target))} on the machine that serves this page.", icon=":material/check:")


@st.cache_data(max_entries=32, show_spinner=False)
def _num_bytes(folder: str, version: int) -> int:
    return sum(path.stat().st_size for path in (Path(folder) / "originals").rglob("*") if path.is_file())


def _zipped(data: DataSet, folder: Path) -> bytes:
    with tempfile.TemporaryDirectory(dir=folder) as inside:
        target = Path(inside) / "set.zip"
        portable.export_zip(data, target)
        return target.read_bytes()


def _delete(name: str) -> None:
    delete_dataset(state.workspace(), name)
    st.session_state.update({"run": "", "sweep": ""})  # else the set stays chosen, for its run
    forms.forget(name)
