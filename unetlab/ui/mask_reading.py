"""How mask values become classes: in words, as bars, and what another reading would make of the pictures."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from unetlab.data import changes, examples
from unetlab.data.dataset import DataSet
from unetlab.data.labels import readings
from unetlab.data.labels.class_files import ClassFile
from unetlab.data.labels.masks import IGNORE, Part, Reading, Survey, label_of
from unetlab.data.manifest import ClassInfo
from unetlab.errors import DataError
from unetlab.ui import charts, state
from unetlab.ui.text import plain, shortened, told_apart

MAX_BARS, LEVELS = 24, 16  # bars at once; brightness levels in a bar where masks run through all of them
EXAMPLE_PX = 560  # three pictures side by side
ANSWERS, ANSWER_PX = 4, 150  # ways to read the masks that a question shows; two stand side by side on a phone
LEFT_OUT, MIXED, GREY = "left out", "various", "#8899a6"


def draw(data: DataSet) -> None:
    """How the masks are read and why; once opened, their values and all ways to read them."""
    if data.manifest.reading is None:
        return
    current = data.reading
    st.markdown("##### How the masks are read")  # findings link to this heading
    st.markdown(f"{plain(_sentence(current.meaning))}.")
    st.caption(plain("\n".join(current.reasons)))
    is_doubted = any(finding.code == "reading" for finding in data.manifest.findings)
    box = st.expander(
        "Mask values, and all ways to read them",
        expanded=is_doubted,
        icon=":material/palette:",
        key=f"reading-{data.folder.name}",
        on_change="rerun",
    )
    if box.open:
        with box:
            st.fragment(state.in_place)(_choice, data)


def answers(data: DataSet, keep: Callable[..., None], *args: Any) -> None:
    """The question how to read the masks: one picture as each of a few readings reads it, its words and its button.

    keep: a callback with its `args`, for the reading as it is.
    """
    if data.manifest.reading is None:
        return
    version = _version(data)
    with st.container(horizontal=True, gap="small"):
        for number, reading in enumerate(_known(data, version)[:ANSWERS]):
            with st.container(width=ANSWER_PX, gap="xsmall"):
                name, pixels = _as_read((*version, reading.model_dump_json()), data, reading)
                st.image(pixels, width="stretch", output_format="JPEG", alt=f"{name}, {reading.meaning}")
                label, click, given = ("Keep", keep, args) if number == 0 else ("Use this", _use, (data, reading))
                st.button(label, key=f"answer-{data.folder.name}-{reading.key}", on_click=click, args=given)
                st.caption(plain(f"{_sentence(reading.meaning)} ({shortened(name)})"))


def bars_of(survey: Survey, reading: Reading, classes: list[ClassInfo]) -> pd.DataFrame:
    """What `charts.value_bars` draws: at most MAX_BARS values, the commonest, and all others together.

    For a threshold on masks of many values, ranges of LEVELS levels instead of values.
    """
    if reading.kind == "threshold" and len(survey.pixels) > MAX_BARS:
        rows = _stretches(survey, reading, classes)
    else:
        shown = sorted(survey.common[:MAX_BARS])
        ids = examples.fates(reading, shown, survey.part)
        rows = [
            (label_of(value, survey.part), *_fate(class_id, classes), survey.pixels[value], survey.files[value])
            for value, class_id in zip(shown, ids, strict=True)
        ]
        others = survey.num_pixels - sum(row[3] for row in rows)
        if others:
            more = len(survey.pixels) - len(shown)
            rows.append((f"{more:,} others", MIXED, GREY, others, survey.num_masks))
    frame = pd.DataFrame(rows, columns=["value", "becomes", "color", "pixels", "masks"])
    return frame.assign(share=frame["pixels"] / survey.num_pixels)


def _stretches(survey: Survey, reading: Reading, classes: list[ClassInfo]) -> list[tuple]:
    part: Part = "grey" if survey.part == "colour" else survey.part  # for colours the brightness is counted
    rows = []
    for start in range(0, len(survey.histogram), LEVELS):
        pixels = int(survey.histogram[start : start + LEVELS].sum())
        first, last = start * survey.bin_width, (start + LEVELS) * survey.bin_width - 1
        low, high = examples.fates(reading, [first, last], part)
        becomes = _fate(low, classes) if low == high else (MIXED, GREY)
        if pixels:
            rows.append((f"{first} to {last}", *becomes, pixels, None))
    return rows


def _fate(class_id: int, classes: list[ClassInfo]) -> tuple[str, str]:
    return (LEFT_OUT, GREY) if class_id == IGNORE else (classes[class_id].name, classes[class_id].color)


def _choice(data: DataSet) -> None:
    version, current = _version(data), data.reading
    survey, class_file = _survey(version, data)
    known = {reading.key: reading for reading in _known(data, version)}
    key, last = f"reading-key-{data.folder.name}", f"reading-last-{data.folder.name}"
    if st.session_state.get(key) not in known or st.session_state.get(last) != current.key:
        st.session_state[key] = current.key  # also where a fix elsewhere has chosen another one
    st.session_state[last] = current.key
    left, right = st.columns([1.2, 1], gap="large")
    with left:
        chosen = known[
            st.radio(
                "Read the masks as",
                list(known),
                key=key,
                format_func=lambda name: plain(_sentence(known[name].meaning)),
                captions=[_caption(reading, is_current=reading is current) for reading in known.values()],
            )
        ]
        if chosen.kind == "threshold" and not chosen.is_inverted:
            chosen = _at_threshold(chosen, survey, class_file, data)
    if chosen is None:
        return
    is_new = _mapping(chosen) != _mapping(current)
    classes = examples.classes_of(chosen, survey) if is_new else data.manifest.classes
    with right:
        st.altair_chart(
            charts.value_bars(bars_of(survey, chosen, classes)), alt="Pixels of each mask value, and its class"
        )
    if is_new:
        _before_and_after(data, chosen, classes)
        if st.button("Use this reading", icon=":material/check:", key="read-so", type="primary"):
            _use(data, chosen)
            st.rerun()


def _use(data: DataSet, reading: Reading) -> None:
    what = {"reading": reading.model_dump(), "background": "proposed"}  # class ids may mean other classes now
    state.attempt(changes.revise, data.folder, what)


def _version(data: DataSet) -> tuple:
    return (str(data.folder), data.manifest.content_hash, data.manifest.version)


def _known(data: DataSet, version: tuple) -> list[Reading]:
    """The reading as it is, and all others that make sense."""
    others = readings.alternatives(*_survey(version, data))
    return [data.reading, *(reading for reading in others if reading.key != data.reading.key)]


@st.cache_data(max_entries=64, show_spinner=False)
def _as_read(version: tuple, _data: DataSet, _reading: Reading) -> tuple[str, np.ndarray]:
    """The name of the most telling picture, and the picture tinted as the reading reads its mask."""
    classes = examples.classes_of(_reading, changes.survey_of(_data))
    (example,) = examples.compare(_data, _reading, classes, count=1)
    return example.name, np.ascontiguousarray(example.then)


@st.cache_data(max_entries=4, show_spinner="Counting mask values")
def _survey(version: tuple, _data: DataSet) -> tuple[Survey, ClassFile | None]:
    return changes.survey_of(_data), _data.manifest.class_file


def _at_threshold(chosen: Reading, survey: Survey, class_file: ClassFile | None, data: DataSet) -> Reading | None:
    """The reading with the slider's threshold; None, with a warning, if that leaves a class empty."""
    top = max(survey.pixels) if survey.part == "value" else 255
    level = st.slider(
        "Foreground is everything above",
        0,
        max(top - 1, 1),
        min(chosen.threshold or 0, max(top - 1, 1)),
        key=f"threshold-{data.folder.name}-{chosen.key}",
    )
    if level == chosen.threshold:
        return chosen
    try:
        return readings.read_as(survey, f"threshold:{level}", class_file)
    except DataError as error:
        st.warning(plain(str(error)), icon=":material/warning:")
        return None


def _before_and_after(data: DataSet, chosen: Reading, classes: list[ClassInfo]) -> None:
    st.caption("The picture, its mask as it is read now, and as it would be read:")
    found = examples.compare(data, chosen, classes)
    for example, name in zip(found, told_apart([example.name for example in found]), strict=True):
        with st.container(width=EXAMPLE_PX), st.grid(3, min_column_width=90, gap="small"):
            for what, pixels in (("picture", example.picture), ("now", example.now), ("then", example.then)):
                st.image(
                    np.ascontiguousarray(pixels),
                    caption=f"{plain(name)} · {what}",
                    width="stretch",
                    output_format="JPEG",
                    alt=f"{example.name}, {what}",
                )


def _mapping(reading: Reading) -> dict:
    """What determines the class of a pixel, without names and words."""
    return reading.model_dump(include={"part", "kind", "threshold", "is_inverted"}) | {
        "groups": [group.values for group in reading.groups],
        "left_out": reading.left_out,
    }


def _caption(reading: Reading, *, is_current: bool) -> str:
    names = [group.name for group in reading.groups]
    listed = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return plain(f"As it is now: {listed}" if is_current else listed)


def _sentence(meaning: str) -> str:
    return f"{meaning[0].upper()}{meaning[1:]}"
