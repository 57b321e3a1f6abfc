"""Small pictures of files that a finding or a question is about, whether they are used or not."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import streamlit as st

from unetlab.data import examples
from unetlab.data.dataset import DataSet
from unetlab.data.names.name_words import SPLIT_WORDS
from unetlab.errors import UnreadableFile
from unetlab.ui.text import plain, told_apart

WIDTH_PX, MAX_NAME = 110, 22


def draw(data: DataSet, files: Sequence[str]) -> None:
    """The files side by side, each with its name, and its side of the split if it has one.

    One that cannot be read has its name only.
    """
    pairs = data.manifest.pairs if data.manifest.classes else []  # before the masks can be read there is no split
    sides = {pair.image: f" · {SPLIT_WORDS[pair.split]}" for pair in pairs if pair.image in files}
    names = told_apart([file.removeprefix("../made/") for file in files], MAX_NAME)
    with st.container(horizontal=True, gap="small", width="content"):
        for file, short in zip(files, names, strict=True):
            with st.container(width=WIDTH_PX, gap=None):
                path = data.folder / "originals" / file
                shown = _thumbnail(str(path), path.stat().st_mtime_ns) if path.is_file() else None
                name = short + sides.get(file, "")
                if shown is None:
                    st.caption(plain(name))
                else:
                    st.image(shown, caption=plain(name), width="stretch", output_format="JPEG", alt=file)


@st.cache_data(max_entries=500, show_spinner=False)
def _thumbnail(path: str, changed_ns: int) -> np.ndarray | None:
    try:
        return examples.of_file(Path(path), 2 * WIDTH_PX)
    except UnreadableFile:
        return None
