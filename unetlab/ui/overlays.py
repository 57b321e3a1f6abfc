"""Pictures on a page: previews while training, and truth, prediction and error side by side."""

import html
import time
from typing import Any

import numpy as np
import streamlit as st
from PIL import Image

from unetlab.data import drawing
from unetlab.data.dataset import DataSet
from unetlab.runs.store import Run
from unetlab.ui import charts

FILM_FRAMES = 8
SCRUBBER_STOPS = 400  # before the newest: more than its pixels; thousands would go to the browser with each look
NEWEST = "newest"  # the scrubber's right end
SHOWN_S = 2.0  # how long at least before newer pictures take the place of others


def paced(run: Run, found: list[dict[str, Any]], *, is_live: bool) -> list[dict[str, Any]]:
    """The previews (events) to show now: while the run is live, newer ones are taken up every SHOWN_S at most.

    Streamlit drops the files of pictures as soon as others take their place, and a browser that has not fetched them by
    then shows broken ones: half of them where several epochs end in a second.
    """
    count, since = st.session_state.get(f"previews-{run.id}", (0, -SHOWN_S))
    now = time.monotonic()
    if len(found) < count or not is_live or (len(found) > count and now - since >= SHOWN_S):
        count, since = len(found), now
    st.session_state[f"previews-{run.id}"] = count, since
    return found[:count]


def masks(run: Run, found: list[dict[str, Any]]) -> None:
    """The overlays of the same validation pictures: the newest, or those of the epoch that the scrubber is set to."""
    pictures = st.container()
    shown = found[-1]
    if len(found) > 1:
        earlier = {str(event["epoch"] + 1): event for event in _spread(found[:-1], SCRUBBER_STOPS)}
        # the right end has the same word at all times: the browser need not be told of each new epoch
        chosen = st.select_slider(
            "After epoch",
            [*earlier, NEWEST],
            NEWEST,
            key=f"film-{run.id}",
            help="Move it to see the masks of an earlier epoch.",
        )
        shown = earlier.get(chosen, shown)
    epoch = shown["epoch"] + 1
    with pictures.grid(2, min_column_width=100, gap="xsmall"):
        for number, name in enumerate(shown["names"]):
            path = run.folder / shown["folder"] / f"{number}.jpg"
            if path.exists():
                st.image(str(path), width="stretch", alt=f"Prediction and truth on {name} after epoch {epoch}")
    last = ", the last one" if shown is found[-1] else ""
    st.caption(f"Validation pictures after epoch {epoch}{last}: prediction in colour, truth as outline.")


def film(run: Run, found: list[dict[str, Any]]) -> None:
    """One picture over the epochs: at most eight, first and last among them."""
    st.markdown("**From epoch to epoch**")
    with st.grid(FILM_FRAMES, min_column_width=64, gap="xsmall"):
        for event in _spread(found, FILM_FRAMES):
            path = run.folder / event["folder"] / "0.jpg"
            if path.exists():
                st.image(
                    str(path),
                    caption=f"epoch {event['epoch'] + 1}",
                    width="stretch",
                    alt=f"{event['names'][0]} after epoch {event['epoch'] + 1}",
                )


def _spread(found: list[dict[str, Any]], most: int) -> list[dict[str, Any]]:
    """At most so many of the events, evenly over the run, first and last among them."""
    return [found[place] for place in np.unique(np.linspace(0, len(found) - 1, most).round().astype(int))]


def triptych(run: Run, data: DataSet, picture: dict[str, Any], opacity: float) -> None:
    """Truth, prediction and error map of one validation picture."""
    index = picture["index"]
    image, truth = data.image(index), data.mask(index)
    with Image.open(run.folder / picture["file"]) as file:
        prediction = np.asarray(file)
    colors = [entry.color for entry in data.manifest.classes]
    shared = {"opacity": opacity, "background": data.background}
    drawn = {
        "truth": drawing.overlay(image, truth, colors, **shared),
        "prediction": drawing.overlay(image, prediction, colors, **shared),
        "errors": drawing.error_map(image, prediction, truth, background=data.background),
    }
    for column, (name, pixels) in zip(st.columns(3, gap="small"), drawn.items(), strict=True):
        column.image(pixels, caption=name, width="stretch", output_format="JPEG", alt=f"{picture['name']}: {name}")


def legend(data: DataSet) -> None:
    """The classes with their colours and names."""
    entries = [
        f"<span style='display:inline-block;width:0.75em;height:0.75em;border:1px solid {charts.OUTLINE};"
        f"background:{html.escape(entry.color)}'></span> {html.escape(entry.name)}"
        f"{' (background)' if entry.is_background and entry.name != 'background' else ''}"
        for entry in data.manifest.classes
    ]
    st.html("&ensp; ".join(entries))
