"""How each picture was matched, as a table to be fixed by hand, and below it the files that found no partner."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

import pandas as pd
import streamlit as st

from unetlab.data.dataset import DataSet
from unetlab.data.manifest import Pair
from unetlab.data.names.name_words import SPLIT_WORDS
from unetlab.errors import DataError
from unetlab.ui import findings
from unetlab.ui.text import plain

PER_PAGE = 200
MADE = "../made/"  # before masks that were made of several files or of polygons


class Row(NamedTuple):
    """One line of the table: a picture, its mask (None: it has none), whether it is used."""

    picture: str
    mask: str | None
    is_used: bool = True


def changes_of(before: Sequence[Row], after: Sequence[Row]) -> dict[str, list[Any]]:
    """The fields of Choices that turn one table into the other; empty when nothing differs.

    The same pictures in the same order. Raises DataError where a mask was given to a second picture.
    """
    pairs, apart, excluded = [], [], []
    for old, new in zip(before, after, strict=True):
        if old.is_used and not new.is_used:
            excluded.append(new.picture)
        elif new.mask == old.mask:
            continue
        elif new.mask is not None:
            pairs.append((new.picture, new.mask))
        elif old.mask is not None and old.mask.startswith(MADE):
            excluded.append(new.picture)  # a made mask has no partner to be kept apart from
        else:
            apart.append((old.picture, old.mask))
    _refuse_shared_masks(pairs, after)
    found = {"pairs": pairs, "apart": apart, "excluded": excluded}
    return {key: list(dict.fromkeys(values)) for key, values in found.items() if values}


def draw(data: DataSet) -> None:
    """The table of pairs, in pages of PER_PAGE, and the files without a partner."""
    if data.manifest.pairs:
        _table(data)
    _orphans(data)


def _table(data: DataSet) -> None:
    manifest = data.manifest
    num_pages = -(-len(manifest.pairs) // PER_PAGE)
    page = st.pagination(num_pages, key=f"pairs-page-{data.folder.name}") if num_pages > 1 else 1
    pairs = manifest.pairs[(page - 1) * PER_PAGE : page * PER_PAGE]
    before = [Row(pair.image, pair.mask) for pair in pairs]
    st.caption(
        "If a mask is wrong, choose another in its cell, or clear the cell. Untick a picture that should not be used."
    )
    edited = st.data_editor(
        as_frame(pairs),
        hide_index=True,
        disabled=["picture", "matched by", "split"],
        column_config={
            "mask": st.column_config.SelectboxColumn(
                options=[*dict.fromkeys(pair.mask for pair in pairs), *manifest.unmatched_masks],
                format_func=_mask_label,
            ),
            "use": st.column_config.CheckboxColumn(),
        },
        key=f"pairs-{page}-{manifest.content_hash}-{len(manifest.findings)}",
        alt="Pictures, their masks, how they were matched, their split, and whether they are used",
    )
    try:
        change = changes_of(before, rows_of(edited))
    except DataError as error:
        st.error(plain(str(error)), icon=":material/error:")
        return
    if change:
        number = sum(len(values) for values in change.values())
        st.button(
            f"Apply {number} change{'s' if number > 1 else ''}",
            icon=":material/check:",
            key="apply-pairs",
            on_click=findings.mend,
            args=(data, change),
        )


def as_frame(pairs: Sequence[Pair]) -> pd.DataFrame:
    """The pairs as the table shows them."""
    rows = [(pair.image, pair.mask, pair.matched_by, SPLIT_WORDS[pair.split], True) for pair in pairs]
    return pd.DataFrame(rows, columns=["picture", "mask", "matched by", "split", "use"])


def rows_of(table: pd.DataFrame) -> list[Row]:
    """The table as it was edited; an emptied mask cell is None."""
    masks = table["mask"].astype(object).where(table["mask"].notna(), None)
    cells = zip(table["picture"], masks, table["use"], strict=True)
    return [Row(str(picture), str(mask) if mask else None, bool(is_used)) for picture, mask, is_used in cells]


def _orphans(data: DataSet) -> None:
    images, masks = data.manifest.unmatched_images, data.manifest.unmatched_masks
    if not images:
        if masks:
            st.markdown(f"**{len(masks)} masks without a picture**")
            st.dataframe(pd.DataFrame({"mask": masks}), hide_index=True, alt="Masks without a picture")
        return
    st.markdown("**Files without a partner**")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        image = st.selectbox(f"Pictures ({len(images)})", images, key="orphan-image", width=300)
        # a mask whose name says nothing is among the pictures
        partners = [*masks, *(name for name in images if name != image)]
        mask = st.selectbox(f"Masks ({len(masks)}), then other files", partners, key="orphan-mask", width=300)
        st.button(
            "Pair these two",
            icon=":material/link:",
            key="pair-orphans",
            disabled=mask is None,
            on_click=findings.mend,
            args=(data, {"pairs": [(image, mask)]}),
        )


def _refuse_shared_masks(new: Sequence[tuple[str, str]], after: Sequence[Row]) -> None:
    owners: dict[str, set[str]] = defaultdict(set)
    for row in after:
        if row.is_used and row.mask is not None:
            owners[row.mask].add(row.picture)
    for _, mask in new:
        if len(owners[mask]) > 1:
            listed = " and ".join(sorted(owners[mask]))
            raise DataError(f"{mask} is the mask of {listed} now. Give each picture a mask of its own, or untick one.")


def _mask_label(mask: object) -> str:
    name = str(mask)
    return f"{name.removeprefix(MADE)} (made)" if name.startswith(MADE) else name
