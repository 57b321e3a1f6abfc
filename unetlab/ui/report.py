"""A data set, looked at: what it holds, its pictures with masks, its classes, what to look at, its split."""

import math

import pandas as pd
import streamlit as st

from unetlab.data import drawing
from unetlab.data.dataset import DataSet, delete_dataset, update_classes
from unetlab.errors import UnetlabError
from unetlab.ui import charts, overlays

PER_PAGE = 12
SPLITS = {"train": ("training", "#3a8fc4"), "valid": ("validation", "#e08214"), "test": ("test", "#8899a6")}


def draw(data: DataSet) -> None:
    """The whole report, pictures first, the next step at its end."""
    manifest = data.manifest
    to_see = [problem for problem in manifest.problems if problem.severity != "info"]
    things = f"{len(to_see)} thing{'s' if len(to_see) != 1 else ''} to look at" if to_see else "nothing wrong was found"
    st.subheader(f"{len(manifest.pairs)} pairs, {data.num_classes} classes, {things}")
    if manifest.note:
        st.caption(f":material/science: {manifest.note}")
    _gallery(data)
    left, right = st.columns(2, gap="large")
    with left:
        _classes(data)
    with right:
        _split(data)
        _findings(data)
    with st.container(horizontal=True):
        st.page_link("pages/lab/learning_rate.py", label="Find its learning rate", icon=":material/arrow_forward:")
        with st.popover("Delete this data set", icon=":material/delete:"):
            st.write(f"This deletes **{data.name}** with its copies of your files. Runs keep their models.")
            st.button("Delete it", key="delete-data", on_click=_delete, args=(data.name,))


def _gallery(data: DataSet) -> None:
    opacity = st.slider("Mask opacity", 0.0, 1.0, 0.45, 0.05, key="gallery-opacity", width=260)
    pages = math.ceil(len(data.manifest.pairs) / PER_PAGE)
    page = st.pagination(pages, key=f"gallery-{data.name}") if pages > 1 else 1
    colors = [entry.color for entry in data.manifest.classes]
    first = (page - 1) * PER_PAGE
    with st.grid(6, min_column_width=130, gap="small"):
        for index in range(first, min(first + PER_PAGE, len(data.manifest.pairs))):
            pair = data.manifest.pairs[index]
            drawn = drawing.overlay(
                data.image(index), data.mask(index), colors, opacity=opacity, background=data.background
            )
            st.image(
                drawing.thumbnail(drawn, 300),
                caption=f"{pair.name} · {SPLITS[pair.split][0]}",
                width="stretch",
                output_format="JPEG",
                alt=f"{pair.name} with its mask",
            )
    overlays.legend(data)


def _classes(data: DataSet) -> None:
    st.markdown("**Classes**")
    total = sum(entry.pixels for entry in data.manifest.classes) or 1
    shares = [(entry.name, entry.pixels / total, entry.color) for entry in data.manifest.classes]
    st.altair_chart(
        charts.share_bar(pd.DataFrame(shares, columns=["name", "share", "color"])),
        alt="Share of the pixels of each class",
    )
    rows = pd.DataFrame(
        [
            {
                "name": e.name,
                "pixels (%)": round(100 * e.pixels / total, 2),
                "mask values": ", ".join(map(str, e.values)),
                "background": e.is_background,
                "ignore": False,
            }
            for e in data.manifest.classes
        ]
    )
    edited = st.data_editor(
        rows,
        hide_index=True,
        disabled=["pixels (%)", "mask values"],
        key=f"classes-{data.manifest.content_hash}",
        alt="Classes: names, pixel shares, which is background, which to ignore",
    )
    st.caption("The background is left out of the mean scores; an ignored class counts neither in loss nor scores.")
    if not edited.equals(rows) and st.button("Apply to the data set", key="apply-classes", icon=":material/check:"):
        _apply(data, rows, edited)
    if data.manifest.ignored_pixels:
        ignored = data.manifest.reading.ignored
        st.caption(f"{data.manifest.ignored_pixels:,} pixels are ignored{f' ({ignored.name})' if ignored else ''}.")
        if ignored:
            st.button("Count the ignored class again", on_click=_change, args=(data.name,), kwargs={"ignored": None})


def _apply(data: DataSet, before: pd.DataFrame, after: pd.DataFrame) -> None:
    backgrounds = [i for i in after.index if after.loc[i, "background"]]
    # of two ticks the new one is meant
    new = [i for i in backgrounds if not before.loc[i, "background"]] or backgrounds
    names = {int(i): str(after.loc[i, "name"]) for i in after.index}
    changes: dict = {"names": names, "background": int(new[0]) if new else None}
    ignored = [int(i) for i in after.index if after.loc[i, "ignore"]]
    if ignored:
        changes["ignored"] = ignored[0]
    _change(data.name, **changes)
    if "problem" not in st.session_state:
        st.rerun()
    st.error(st.session_state.pop("problem"))


def _change(name: str, **changes: object) -> None:
    try:
        update_classes(name, **changes)  # type: ignore[arg-type]
    except UnetlabError as error:
        st.session_state["problem"] = str(error)


def _split(data: DataSet) -> None:
    st.markdown("**Split**")
    counts = {split: len(data.indices(split)) for split in SPLITS}
    total = sum(counts.values())
    rows = [(SPLITS[split][0], count / total, SPLITS[split][1]) for split, count in counts.items() if count]
    st.altair_chart(
        charts.share_bar(pd.DataFrame(rows, columns=["name", "share", "color"])),
        alt="Shares of training, validation and test pictures",
    )
    st.caption(
        " · ".join(f"{counts[split]} {SPLITS[split][0]}" for split in SPLITS if counts[split])
        + (" (as your folders give it)" if data.manifest.is_given_split else " (stored: it never moves)")
    )


def _findings(data: DataSet) -> None:
    manifest = data.manifest
    st.markdown("**What was found and decided**")
    for problem in manifest.problems:
        show = {"error": st.error, "warning": st.warning, "info": st.info}[problem.severity]
        show(problem.message)
    for decision in manifest.decisions:
        st.markdown(f"- {decision}")
    for what, names in (
        ("pictures without a mask", manifest.unmatched_images),
        ("masks without a picture", manifest.unmatched_masks),
    ):
        if names:
            with st.expander(f"{len(names)} {what}", icon=":material/link_off:", key=f"report-{what}"):
                st.dataframe(pd.DataFrame({"file": names}), hide_index=True, alt=what)


def _delete(name: str) -> None:
    try:
        delete_dataset(name)
    except UnetlabError as error:
        st.session_state["problem"] = str(error)
    st.session_state.pop("dataset", None)
