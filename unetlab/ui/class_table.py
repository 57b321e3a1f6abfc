"""The classes of a set: colour, name, share; which is the background, which is left out."""

import base64
from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from unetlab.data import changes
from unetlab.data.dataset import DataSet
from unetlab.data.manifest import ClassInfo
from unetlab.errors import DataError
from unetlab.ui import charts, state
from unetlab.ui.text import plain

MAX_VALUES_SHOWN = 6


def draw(data: DataSet) -> None:
    """The table of classes, and how to change it; nothing if no mask can be read yet."""
    classes = data.manifest.classes
    if not classes:
        return
    st.markdown("**Classes**")
    rows = table_of(classes)
    shares = pd.DataFrame({"name": rows["name"], "share": rows["share (%)"] / 100, "color": [c.color for c in classes]})
    st.altair_chart(charts.share_bar(shares), alt="Share of the pixels of each class")
    # a new key once anything was applied: otherwise old edits would be made again in the new table
    edition = hash((data.manifest.content_hash, *data.class_names, data.background))
    edited = st.data_editor(
        rows,
        hide_index=True,
        disabled=["colour", "share (%)", "mask values"],
        column_config={
            "colour": st.column_config.ImageColumn(width=60),
            "name": st.column_config.TextColumn(help="Double-click to rename.", required=True),
            "share (%)": st.column_config.NumberColumn(format="%.2f", help="Share of all mask pixels."),
        },
        key=f"classes-{data.folder.name}-{edition}",
        alt="Classes: names, pixel shares, which is background, which to leave out",
    )
    st.caption("Mean scores leave out the background. An ignored class is left out of loss and scores.")
    if not edited.equals(rows):
        st.button(
            "Apply to the data set",
            key="apply-classes",
            icon=":material/check:",
            on_click=state.attempt,
            args=(_apply, data, rows, edited),
        )
    _ignored(data)


def table_of(classes: Sequence[ClassInfo]) -> pd.DataFrame:
    """One row per class, in the order of ids: colour, name, share (%), mask values, background, ignore."""
    total = sum(info.pixels for info in classes) or 1
    return pd.DataFrame(
        [
            {
                "colour": _swatch(info.color),
                "name": info.name,
                "share (%)": 100 * info.pixels / total,
                "mask values": _listed(info.values),
                "background": info.is_background,
                "ignore": False,
            }
            for info in classes
        ]
    )


def changes_of(before: pd.DataFrame, after: pd.DataFrame) -> dict[str, Any]:
    """What was edited, as `changes.update_classes` takes it. Of two backgrounds the newly ticked one counts.

    Raises DataError if more than one class is ticked as ignored.
    """
    found: dict[str, Any] = {}
    names = {int(i): str(after.loc[i, "name"]) for i in after.index if after.loc[i, "name"] != before.loc[i, "name"]}
    if names:
        found["names"] = names
    if not after["background"].equals(before["background"]):
        ticked = [int(i) for i in after.index if after.loc[i, "background"]]
        new = [i for i in ticked if not before.loc[i, "background"]]
        found["background"] = (new or ticked or [None])[0]
    ignored = [int(i) for i in after.index if after.loc[i, "ignore"]]
    if len(ignored) > 1:
        raise DataError(f"{len(ignored)} classes are ticked as ignored; only one can be. Untick the others.")
    if ignored:
        found["ignored"] = ignored[0]
    return found


def _apply(data: DataSet, before: pd.DataFrame, after: pd.DataFrame) -> None:
    changes.update_classes(data.folder, **changes_of(before, after))


def _ignored(data: DataSet) -> None:
    manifest = data.manifest
    if not manifest.ignored_pixels:
        return
    ignored = data.reading.ignored
    values = "mask value" if len(manifest.ignored_values) == 1 else "mask values"
    which = f"class {ignored.name}" if ignored else f"{values} {_listed(manifest.ignored_values)}"
    st.caption(f"{manifest.ignored_pixels:,} pixels are ignored: {plain(which)}.")
    if ignored:
        st.button(
            "Include the ignored class again",
            key="count-ignored",
            on_click=state.attempt,
            args=(changes.update_classes, data.folder),
            kwargs={"ignored": None},
        )


def _listed(values: Sequence[int | str]) -> str:
    more = f" and {len(values) - MAX_VALUES_SHOWN} more" if len(values) > MAX_VALUES_SHOWN else ""
    return ", ".join(map(str, values[:MAX_VALUES_SHOWN])) + more


def _swatch(color: str) -> str:
    """A square of the colour, as a data URL that a table can show."""
    svg = '<svg xmlns="http://www.w3.org/2000/svg" width="32" height="24"><rect x="1" y="1" width="30" height="22" '
    square = f'{svg}rx="4" stroke="{charts.OUTLINE}" stroke-width="2" fill="{color}"/></svg>'
    return f"data:image/svg+xml;base64,{base64.b64encode(square.encode()).decode()}"
