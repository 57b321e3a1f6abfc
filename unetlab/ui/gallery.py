"""The pictures with their masks, twelve a page: filtered by problem, class, split or name, and left out."""

import math
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import streamlit as st
from PIL import Image

from unetlab.data import changes, drawing
from unetlab.data.dataset import DataSet
from unetlab.data.manifest import Finding, Manifest, Pair
from unetlab.data.names.name_words import SPLIT_WORDS
from unetlab.ui import overlays, state
from unetlab.ui.text import plain, told_apart

PER_PAGE, SHOWN_PX = 12, 300
THIN_BOOST = 3  # a line of 1 px in a picture of 1000 px covers a third of a pixel here
ALL = "all"
T = TypeVar("T")
FILTERS = {"gallery-finding": ALL, "gallery-class": ALL, "gallery-split": ALL, "gallery-name": ""}


def matching(
    manifest: Manifest,
    *,
    finding: Finding | None = None,
    class_id: int | None = None,
    split: str | None = None,
    text: str = "",
) -> list[int]:
    """Places in `manifest.pairs` of the pairs that a problem names, that hold a class, are in a split and have a text
    in their name (in any case); None and "" filter nothing."""
    files, text = set(finding.files) if finding else None, text.strip().casefold()

    def is_wanted(pair: Pair) -> bool:
        return (
            (split is None or pair.split == split)
            and text in pair.name.casefold()
            and (class_id is None or (class_id < len(pair.class_pixels) and pair.class_pixels[class_id] > 0))
            and (files is None or _is_named(pair, files))
        )

    return [index for index, pair in enumerate(manifest.pairs) if is_wanted(pair)]


def draw(data: DataSet) -> None:
    """The pictures of a set or report that passed the filters; nothing if no mask can be read yet."""
    if data.manifest.reading is not None and data.manifest.pairs:
        st.fragment(state.in_place)(_gallery, data)  # paging and fading redraw only this part


def _gallery(data: DataSet) -> None:
    found = _filters(data)
    opacity = st.session_state["gallery-opacity"]
    if not found:
        st.info("No picture matches these filters.", icon=":material/filter_alt_off:")
        st.button("Show all pictures", on_click=st.session_state.update, args=(FILTERS,), key="gallery-all")
        return
    pages, key = math.ceil(len(found) / PER_PAGE), f"gallery-page-{data.folder.name}"
    with st.container(horizontal=True, vertical_alignment="center"):
        page = st.pagination(pages, key=key) if pages > 1 else 1
        st.caption(f"{len(found):,} of {len(data.manifest.pairs):,} pictures", width="content")
    shown = found[(page - 1) * PER_PAGE : page * PER_PAGE]
    colors = tuple(info.color for info in data.manifest.classes)
    version = (str(data.folder), data.manifest.content_hash, colors, data.background)
    pairs = [data.manifest.pairs[index] for index in shown]
    with st.grid(6, min_column_width=130, gap="small"):
        for index, pair, name in zip(shown, pairs, told_apart([pair.name for pair in pairs]), strict=True):
            st.image(
                _blended(*_thumbnails(version, index, data), opacity),
                caption=f"{plain(name)} · {SPLIT_WORDS[pair.split]}",
                width="stretch",
                output_format="JPEG",
                alt=f"{pair.name} with its mask",
            )
    overlays.legend(data)
    _leave_out(data, pairs)


def _filters(data: DataSet) -> list[int]:
    """Draws the controls; the places of the pairs that pass."""
    manifest = data.manifest
    problems = {finding.message: finding for finding in _with_pictures(manifest)}
    names = dict(enumerate(data.class_names))
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.slider("Mask opacity", 0.0, 1.0, 0.45, 0.05, key="gallery-opacity", width=146)
        message = _one_of("Problem", "gallery-finding", {message: _shortened(message) for message in problems})
        class_id = _one_of("Holds class", "gallery-class", names)
        there = {split for split in SPLIT_WORDS if any(pair.split == split for pair in manifest.pairs)}
        split = _one_of(
            "Split", "gallery-split", {split: word for split, word in SPLIT_WORDS.items() if split in there}
        )
        text = st.text_input("Name", key="gallery-name", placeholder="part of a name", width=146)
    problem = None if message is None else problems[message]
    return matching(manifest, finding=problem, class_id=class_id, split=split, text=text)


def _one_of(label: str, key: str, options: dict[T, str]) -> T | None:
    """A select box over the keys of `options`, shown as their words; None for all, or with nothing to pick."""
    if not options:
        return None
    if st.session_state.get(key) not in options:
        st.session_state[key] = ALL
    words = {ALL: "all", **options}
    chosen = st.selectbox(label, list(words), format_func=words.__getitem__, key=key, width=146)
    return None if chosen == ALL else chosen


def _leave_out(data: DataSet, shown: Sequence[Pair]) -> None:
    files = {pair.image: pair.name for pair in data.manifest.pairs}
    key = f"leave-out-{data.folder.name}"
    st.session_state[key] = [file for file in st.session_state.get(key, []) if file in files]  # others were left out
    options = list(dict.fromkeys([*st.session_state[key], *(pair.image for pair in shown)]))
    with st.container(horizontal=True, vertical_alignment="bottom"):
        leaving = st.multiselect(
            "Leave these out",
            options,
            format_func=files.__getitem__,
            key=key,
            placeholder="Pictures of this page",
            help="Your choice is kept across pages. Pictures left out stay on disk and can be added back. "
            "All pages of a multi-page file are left out.",
        )
        if st.button("Leave them out", icon=":material/hide_image:", key="leave-out", disabled=not leaving):
            state.attempt(changes.revise, data.folder, {"excluded": leaving})
            st.rerun()  # the whole page: figures and findings change too


@st.cache_data(max_entries=8 * PER_PAGE, show_spinner=False)
def _thumbnails(version: tuple, index: int, _data: DataSet) -> tuple[np.ndarray, np.ndarray]:
    """Picture `index` small, uint8 (h,w,3), and the colours of its classes with their cover as alpha, (h,w,4)."""
    picture = drawing.thumbnail(drawing.to_rgb(_data.image(index)), SHOWN_PX)
    table = np.zeros((256, 4), np.uint8)
    for info in _data.manifest.classes:
        if not info.is_background:
            table[info.id] = (*drawing.rgb(info.color), 255)
    tint = Image.fromarray(table[_data.mask(index)]).resize(picture.shape[1::-1], Image.Resampling.BOX)
    return picture, np.asarray(tint)


def _blended(picture: np.ndarray, tint: np.ndarray, opacity: float) -> np.ndarray:
    """The picture under its classes; lines thinner than a pixel of the thumbnail keep enough colour to be seen."""
    cover = np.minimum(tint[..., 3:] / 255 * THIN_BOOST, 1) * opacity
    return (picture + cover * (tint[..., :3].astype(np.float32) - picture)).round().astype(np.uint8)


def _with_pictures(manifest: Manifest) -> list[Finding]:
    """The findings that name pictures which are used."""
    used = {name for pair in manifest.pairs for name in (pair.image, pair.mask)}
    return [finding for finding in manifest.findings if not used.isdisjoint(finding.files)]


def _is_named(pair: Pair, files: set[str]) -> bool:
    return pair.image in files or pair.mask in files


def _shortened(message: str) -> str:
    words = message.split(". ")[0].rstrip(".")
    return words if len(words) <= 60 else f"{words[:57]}..."
