"""What the image size of training does to small objects; the choice is carried to the forms."""

from typing import Any, NamedTuple

import numpy as np
import streamlit as st
from PIL import Image

from unetlab.config import RunConfig, option_fields
from unetlab.data import drawing, geometry
from unetlab.data.checks import shrinking
from unetlab.data.checks.shrinking import Shrinking
from unetlab.data.dataset import IGNORE, DataSet
from unetlab.ui import drafts, forms, state
from unetlab.ui.text import plain

KEYS = ["data.image_size", "data.size_mode"]
MAX_MASKS = 12
WINDOW_SHARE, MIN_WINDOW_PX = 0.2, 48  # of the long side: single pixels show, and one still sees where it is
SHOWN_PX = 420


class Window(NamedTuple):
    """A square part of a picture: top, left and side in px."""

    top: int
    left: int
    side: int

    def scaled(self, scale: float) -> "Window":
        """The same part of the picture after scaling, at least one pixel of it."""
        return Window(round(self.top * scale), round(self.left * scale), max(round(self.side * scale), 1))

    @property
    def area(self) -> tuple[slice, slice]:
        """As an index of an array (H,W,...)."""
        return slice(self.top, self.top + self.side), slice(self.left, self.left + self.side)


class Example(NamedTuple):
    """The picture that loses most, by its place in the set, and where."""

    index: int
    window: Window


def draw(data: DataSet) -> None:
    """A box that, once opened, lets the user try sizes and see what happens to the smallest objects."""
    label, icon = "What the image size does to small objects", ":material/photo_size_select_small:"
    box = st.expander(label, icon=icon, key="sizing", on_change="rerun")
    if box.open:
        with box:
            state.in_place(_try_sizes, data)


def chosen_size(data: DataSet) -> dict[str, Any]:
    """Image size and size mode as the set's Train form has them, or will start with, by dotted key."""
    kept = {key: option_fields()[key].default for key in KEYS} | drafts.read(data.folder, "train")
    return {key: st.session_state.get(forms.key_of("train", data.name, key), kept[key]) for key in KEYS}


def worst_window(lost: np.ndarray, side: int) -> Window:
    """The square with the most lost pixels in it. lost: bool (H,W); a `side` larger than the map is cut to it."""
    height, width = lost.shape
    side = min(side, height, width)
    sums = np.zeros((height + 1, width + 1), np.int64)
    sums[1:, 1:] = lost.cumsum(axis=0).cumsum(axis=1)
    counts = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    top, left = np.unravel_index(counts.argmax(), counts.shape)
    return Window(int(top), int(left), side)


def _try_sizes(data: DataSet) -> None:
    base = RunConfig(kind="train", dataset=data.name)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        values = forms.options("train", base, KEYS)  # the same fields as on the Train form: a choice here counts there
    forms.fill("lr", base.changed(values), KEYS)
    size, mode = values["data.image_size"], values["data.size_mode"]
    found, worst = _effect((str(data.folder), data.manifest.content_hash, data.background), size, mode, data)
    harmed = found.num_vanished + found.num_broken
    st.markdown(f":material/{'warning' if harmed else 'check'}: **{found.sentence}**")
    if found.num_objects and mode == "resize":
        st.caption(
            f"Counted on {min(MAX_MASKS, len(data.manifest.pairs))} masks. The narrowest tenth of the objects is "
            f"{found.width_before_px:.1f} px wide as drawn and {found.width_after_px:.1f} px as the model sees it."
        )
    views = _shrunk(data, worst, size) if mode == "resize" else _cut_out(data, worst)
    with st.grid(2, min_column_width=130, gap="small"):
        for what, pixels in views.items():
            st.image(pixels, caption=plain(what), width="stretch", output_format="JPEG", alt=what)
    st.caption("The forms of Learning rate and Train now start from this size.")


@st.cache_data(max_entries=32, show_spinner="Counting objects")
def _effect(version: tuple, image_size: int, size_mode: Any, _data: DataSet) -> tuple[Shrinking, Example]:
    """What the size does to masks spread over the set, and the example to look at."""
    places = np.unique(np.linspace(0, len(_data.manifest.pairs) - 1, MAX_MASKS).round().astype(int)).tolist()
    masks = [_data.mask(index) for index in places]
    found = shrinking.effect(
        masks, image_size=image_size, size_mode=size_mode, ignore=IGNORE, background=_data.background, neighbours=8
    )
    objects = [(mask != IGNORE) & (mask != _data.background) for mask in masks]
    if size_mode != "resize":
        best = int(np.argmax([area.sum() for area in objects]))
        return found, Example(places[best], worst_window(objects[best], image_size))
    lost = [area & (_there_and_back(mask, image_size) != mask) for area, mask in zip(objects, masks, strict=True)]
    worst = int(np.argmax([gone.sum() / max(area.sum(), 1) for gone, area in zip(lost, objects, strict=True)]))
    side = max(MIN_WINDOW_PX, round(WINDOW_SHARE * max(masks[worst].shape)))
    telling = lost[worst] if lost[worst].any() else objects[worst]
    return found, Example(places[worst], worst_window(telling, side))


def _there_and_back(mask: np.ndarray, image_size: int) -> np.ndarray:
    small = geometry.resize_mask(mask, geometry.fit_size(mask.shape[0], mask.shape[1], image_size))
    return geometry.resize_mask(small, (mask.shape[0], mask.shape[1]))


def _shrunk(data: DataSet, worst: Example, image_size: int) -> dict[str, np.ndarray]:
    """The window before, and as the network sees it, both enlarged to one size; by caption."""
    image, mask = data.image(worst.index), data.mask(worst.index)
    height, width = mask.shape
    size = geometry.fit_size(height, width, image_size)
    small_image, small_mask = geometry.resize(image, mask, size)
    seen = worst.window.scaled(max(size) / max(height, width))
    name = data.manifest.pairs[worst.index].name
    return {
        f"{name}, part of it, at {height}×{width} px": _enlarged(_tinted(data, image, mask)[worst.window.area]),
        f"The same at {size[0]}×{size[1]} px": _enlarged(_tinted(data, small_image, small_mask)[seen.area]),
    }


def _cut_out(data: DataSet, worst: Example) -> dict[str, np.ndarray]:
    """The picture with one of the squares that training cuts out of it, and that square; by caption."""
    whole = _tinted(data, data.image(worst.index), data.mask(worst.index))
    window, name = worst.window, data.manifest.pairs[worst.index].name
    framed = np.full_like(whole, 255)
    framed[window.area] = whole[window.area]
    framed = (0.35 * framed + 0.65 * whole).astype(np.uint8)  # outside the square it is paler
    return {
        f"{name}, one square of it": drawing.thumbnail(framed, SHOWN_PX),
        f"What one step sees: {window.side}×{window.side} px, nothing scaled": _enlarged(whole[window.area]),
    }


def _tinted(data: DataSet, image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    colors = [info.color for info in data.manifest.classes]
    return drawing.overlay(image, mask, colors, background=data.background)


def _enlarged(pixels: np.ndarray) -> np.ndarray:
    """A square of pixels at SHOWN_PX; enlarged pixels stay sharp."""
    method = Image.Resampling.NEAREST if pixels.shape[0] < SHOWN_PX else Image.Resampling.BOX
    return np.asarray(Image.fromarray(pixels).resize((SHOWN_PX, SHOWN_PX), method))
