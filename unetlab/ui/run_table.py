"""All runs as a table: find one, open it, tag some, delete some and bring them back."""

from hashlib import sha256
from typing import Any

import pandas as pd
import streamlit as st

from unetlab.files import size_text
from unetlab.runs import trash
from unetlab.runs.store import Run, list_runs, open_run
from unetlab.ui import choices, journey, state
from unetlab.ui.run_rows import KINDS, Row, rows
from unetlab.ui.text import plain

POLL_S = 5
ROW_PX, MOST_ROWS = 35, 15
ANY = "Any"
NAMED = 3  # runs of a deletion that are named
COLUMNS: dict[str, Any] = {
    "name": st.column_config.TextColumn("Name", width=120),
    "state": st.column_config.TextColumn("State", width=70),
    "score": st.column_config.NumberColumn("Dice", width=56, format="%.3f", help="Mean Dice of the best epoch."),
    "megabytes": st.column_config.NumberColumn("On disk", width=72, format="%.1f MB"),
    "dataset": st.column_config.TextColumn("Data set", width=80),
    "kind": st.column_config.TextColumn("Kind", width=66),
    "created": st.column_config.DatetimeColumn("Created", width=88, format="MM-DD HH:mm"),
    "lasted": st.column_config.NumberColumn("Duration", width=70, format="compact", help="Hours, minutes, seconds."),
    "epochs": st.column_config.NumberColumn("Epochs", width=60, format="%d", help="That were trained."),
    "steps": st.column_config.NumberColumn("Steps", width=58, format="%d"),
    "lr": st.column_config.NumberColumn("Rate", width=70, format="%.2e", help="The highest learning rate."),
    "tags": st.column_config.ListColumn("Tags"),
}


def draw() -> None:
    """The page below its title."""
    workspace = state.workspace()
    trash.purge(workspace)
    _deleted()
    all_rows = rows(list_runs(workspace))
    if not all_rows:
        st.info("There is no run yet. Sweeps and trainings appear here.", icon=":material/info:")
        choices.link("pages/lab/home.py", label="Start on Home", icon=":material/arrow_forward:")
        return
    shown = _filtered(all_rows)
    # a selection is a list of places: under a new key it cannot point to other runs after the list has changed
    key = f"runs-{sha256(' '.join(row.id for row in shown).encode()).hexdigest()[:16]}"
    places = st.session_state.get(key, {}).get("selection", {}).get("rows", [])
    _actions([shown[place] for place in places], {tag for row in all_rows for tag in row.tags})
    st.dataframe(
        pd.DataFrame(shown, columns=Row._fields),
        key=key,
        hide_index=True,
        height=ROW_PX * (min(max(len(shown), 1), MOST_ROWS) + 1) + 2,
        row_height=ROW_PX,
        column_config=COLUMNS,
        column_order=list(COLUMNS),
        on_select="rerun",
        selection_mode="multi-row",
        placeholder="–",
        alt="Runs, newest first",
    )
    if live := _live(all_rows):
        state.poll(_follow, live, every=POLL_S)


def _follow(live: list[tuple[str, str]]) -> None:
    """Draws the page again when one of the live runs has started or ended."""
    if _live(rows(list_runs(state.workspace()))) != live:
        st.rerun()


def _live(all_rows: list[Row]) -> list[tuple[str, str]]:
    return [(row.id, row.state) for row in all_rows if row.is_live]


def _filtered(all_rows: list[Row]) -> list[Row]:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        text = st.text_input("Search", placeholder="name, tag, data set", key="runs-text", persist_state="session")
        chosen = {
            field: st.selectbox(
                label,
                [ANY, *sorted({getattr(row, field) for row in all_rows})],
                key=f"runs-{field}",
                width=150,
                persist_state="session",
            )
            for field, label in (("dataset", "Data set"), ("kind", "Kind"), ("state", "State"))
        }
    shown = [row for row in all_rows if all(value in (ANY, getattr(row, field)) for field, value in chosen.items())]
    shown = [row for row in shown if row.has(text.lower().split())]
    size = size_text(1e6 * sum(row.megabytes for row in shown))
    of_all = "" if len(shown) == len(all_rows) else f" of {len(all_rows):,}"
    st.caption(f"{len(shown):,}{of_all} {_runs_word(len(all_rows))}, {size} on disk. Click a heading to sort.")
    return shown


def _actions(selected: list[Row], known_tags: set[str]) -> None:
    """What can be done with the selected runs."""
    count, ids = len(selected), [row.id for row in selected]
    live = [row for row in selected if row.is_live]
    size = f" ({size_text(1e6 * sum(row.megabytes for row in selected))})" if count else ""
    has_page = count == 1 and selected[0].kind != KINDS["evaluate"]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.button(
            "Open",
            icon=":material/open_in_new:",
            key="open-run",
            disabled=not has_page,
            on_click=state.attempt,
            args=(_open, ids),
        )
        st.button(
            f"Delete {count} {_runs_word(count)}{size}" if count else "Delete",
            icon=":material/delete:",
            key="delete-runs",
            disabled=not count or bool(live),
            on_click=state.attempt,
            args=(_delete, ids),
        )
        key, common = f"tags-{' '.join(ids)}", _common_tags(selected)
        st.session_state[key] = common
        st.multiselect(
            "Tags",
            sorted(known_tags),
            key=key,
            accept_new_options=True,
            disabled=not count,
            label_visibility="collapsed",
            placeholder="Tags of the selected runs",
            width=340,  # on a phone a line of its own: the table must not move when the label beside it grows
            on_change=state.attempt,
            args=(_tag, ids, common, key),
        )
    hint = f"{count} selected." if count else "Select rows to open, delete or tag runs."
    if live:
        subject = "It is" if count == 1 else f"{len(live)} of them {'is' if len(live) == 1 else 'are'}"
        hint += f" {subject} waiting or running: stop first, then delete."
    st.caption(hint)


def _common_tags(selected: list[Row]) -> list[str]:
    return sorted(set.intersection(*(set(row.tags) for row in selected))) if selected else []


def _open(ids: list[str]) -> None:
    journey.show(open_run(state.workspace(), ids[0]))


def _delete(ids: list[str]) -> None:
    trash.delete([Run(state.workspace().runs / run_id) for run_id in ids])
    choices.choose(**{key: "" for key in ("run", "sweep") if st.session_state[key] in ids})


def _tag(ids: list[str], before: list[str], key: str) -> None:
    """A callback: adds the new tags to each of the runs, and takes away those that were removed."""
    now = [tag.strip() for tag in st.session_state[key] if tag.strip()]
    for run in [open_run(state.workspace(), run_id) for run_id in ids]:
        notes = run.notes
        kept = [tag for tag in notes.tags if tag in now or tag not in before]
        run.write_notes(notes.model_copy(update={"tags": [*kept, *(tag for tag in now if tag not in kept)]}))


def _deleted() -> None:
    """What is in the trash, and the ways out of it."""
    found = trash.deletions(state.workspace())
    if not found:
        return
    newest, total = found[0], sum(len(deletion.runs) for deletion in found)
    count = len(newest.runs)
    in_all = size_text(sum(deletion.size for deletion in found))
    older = f" {total} in the trash in all, {in_all}." if len(found) > 1 else ""
    with st.container(horizontal=True, vertical_alignment="center", border=True, key="deleted-runs"):
        st.markdown(
            f":material/delete: {count} {_runs_word(count)} deleted, {size_text(newest.size)}.{older} "
            f"Deleted runs are kept for {trash.KEPT_DAYS} days.",
            width="content",
        )
        st.button(
            "Undo",
            icon=":material/undo:",
            key=f"undo-{newest.folder.name}",
            on_click=state.attempt,
            args=(trash.restore, state.workspace(), newest.runs),
        )
        with st.popover("Empty the trash"):
            st.write(f"This deletes {total} {_runs_word(total)} for good and frees {in_all}.")
            args = (trash.empty, state.workspace())
            st.button("Empty it", key="empty-trash", on_click=state.attempt, args=args)
    if len(found) > 1:
        with st.expander("Deleted earlier", icon=":material/history:", key="deleted-earlier"):
            for deletion in found[1:]:
                _deleted_earlier(deletion)


def _deleted_earlier(deletion: trash.Deletion) -> None:
    titles, count = deletion.titles, len(deletion.runs)
    more = f" and {count - NAMED} more" if count > NAMED else ""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"{deletion.when:%m-%d %H:%M}: {plain(', '.join(titles[:NAMED]))}{more}", width="content")
        st.button(
            "Bring back",
            icon=":material/undo:",
            key=f"undo-{deletion.folder.name}",
            on_click=state.attempt,
            args=(trash.restore, state.workspace(), deletion.runs),
        )


def _runs_word(count: int) -> str:
    return "run" if count == 1 else "runs"
