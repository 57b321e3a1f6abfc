"""What was found in a data set: errors, warnings and notes, each with its pictures and its clicks."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from unetlab.data import changes
from unetlab.data.dataset import DataSet
from unetlab.data.manifest import Finding, Fix
from unetlab.ui import file_pictures, mask_reading, state
from unetlab.ui.text import plain, shortened

# Findings that are shown as one, under the name of the family.
FAMILIES = {"near-misses": "near-miss", "class-not-in-train": "class-not-in", "class-not-in-valid": "class-not-in"}
SHOWN_ROWS = 3  # of one family; the rest one click away
SHOWN_FILES = 3  # messages name this many themselves
SHOWN_TOGETHER = 3  # groups of files that belong to one another; the rest one click away
MAX_BUTTONS, MAX_LABEL = 2, 40  # more fixes, or longer labels, become a list, unless pictures show what they mean
MAX_HIDDEN_WORDS = 120
TITLES = {"error": ":red[:material/error:] Errors", "warning": ":orange[:material/warning:] Warnings"}
POINTERS = {  # findings that are fixed in a panel of their own, and its anchor
    "reading": ("All ways to read them", "how-the-masks-are-read"),
    "image-without-mask": ("Pair by hand", "pairs"),
    "no-pairs": ("Pair by hand", "pairs"),
    "ambiguous": ("Pair by hand", "pairs"),
}
SEEN_AT_ONCE = "which-mask"  # a note that says which files are the masks; below the headline until a set is stored


def headline(data: DataSet) -> None:
    """What the set holds in one line, the layout of its files, and, until it is stored, which of them are the masks."""
    manifest = data.manifest
    parts = [_count(len(manifest.pairs), "pair")]
    if data.manifest.classes:
        parts.append(f"{data.num_classes} classes")
    families = {severity: of_severity(shown(data), severity) for severity in TITLES}
    counts = [_count(len(families[severity]), severity) for severity in TITLES if families[severity]]
    dismissed = _dismissed(data)
    rest = f"{_count(len(dismissed), 'warning')} dismissed" if dismissed else "no problems found"
    st.subheader(", ".join(parts + (counts or [rest])), anchor=False)
    if manifest.layout:
        st.caption(f":material/folder_open: Layout: {plain(manifest.layout)}")
    if manifest.note:
        st.caption(f":material/science: {plain(manifest.note)}")
    for finding in manifest.findings:
        if _is_seen_at_once(data, finding):
            _row(data, finding)


def draw(data: DataSet) -> None:
    """All findings by severity; dismissed warnings, notes and decisions are folded away."""
    for severity, title in TITLES.items():
        families = of_severity(shown(data), severity)
        if families:
            st.markdown(f"**{title}**")
        for family in families:
            with st.container(border=True, gap="xsmall"):
                _family(data, family)
    _hidden(data)
    notes = [finding for finding in data.manifest.findings if not _is_seen_at_once(data, finding)]
    notes, decisions = of_severity(notes, "info"), data.manifest.decisions
    if notes or decisions:
        with st.expander(f"Notes ({len(notes) + len(decisions)})", icon=":material/info:", key="good-to-know"):
            for family in notes:
                _family(data, family)
            st.markdown("\n".join(f"- {plain(decision)}" for decision in decisions))


def of_severity(found: Sequence[Finding], severity: str) -> list[list[Finding]]:
    """The findings of one severity, grouped into families by code, in the order of the first of each."""
    families: dict[str, list[Finding]] = {}
    for finding in found:
        if finding.severity == severity:
            families.setdefault(FAMILIES.get(finding.code, finding.code), []).append(finding)
    return list(families.values())


def shown(data: DataSet) -> list[Finding]:
    """The findings less acknowledged warnings, and less those that an error repeats word by word."""
    found, hidden = data.manifest.findings, {*data.manifest.choices.acknowledged}
    errors = [finding for finding in found if finding.severity == "error"]
    return [
        finding
        for finding in found
        if not (finding.severity == "warning" and finding.key in hidden)
        and (finding.fixes or not any(finding.message in error.message for error in errors if error is not finding))
    ]


def mend(data: DataSet, change: dict[str, Any]) -> None:
    """A callback: changes decisions about the set; an error is shown at the top of the page."""
    with st.spinner("Checking again", show_time=True):
        state.attempt(changes.revise, data.folder, change)


def acknowledge(data: DataSet, keys: Sequence[str], is_right: bool) -> None:
    """A callback: hides warnings, or shows them again."""
    state.attempt(changes.acknowledge, data.folder, keys, is_right=is_right)


def _is_seen_at_once(data: DataSet, finding: Finding) -> bool:
    return finding.code == SEEN_AT_ONCE and finding.severity == "info" and not data.manifest.created


def _dismissed(data: DataSet) -> list[list[Finding]]:
    keys = {*data.manifest.choices.acknowledged}
    return of_severity([finding for finding in data.manifest.findings if finding.key in keys], "warning")


def _hidden(data: DataSet) -> None:
    families = _dismissed(data)
    if not families:
        return
    with st.expander(f"Dismissed warnings ({len(families)})", icon=":material/visibility_off:", key="hidden-warnings"):
        for family in families:
            with st.container(horizontal=True, vertical_alignment="center"):
                st.markdown(plain(shortened(family[0].message, MAX_HIDDEN_WORDS)), width="stretch")
                keys = [finding.key for finding in family]
                key = f"show-{family[0].key}"
                st.button("Show again", key=key, on_click=acknowledge, args=(data, keys, False))


def _family(data: DataSet, family: Sequence[Finding]) -> None:
    said = ""
    for finding in family[:SHOWN_ROWS]:
        said = _row(data, finding, said, family)
    if len(family) > SHOWN_ROWS:
        with st.expander(f"{len(family) - SHOWN_ROWS} more of this kind", key=f"more-{family[0].key}"):
            for finding in family[SHOWN_ROWS:]:
                said = _row(data, finding, said, family)


def _row(data: DataSet, finding: Finding, said: str = "", family: Sequence[Finding] = ()) -> str:
    """One finding. `said`: effect and advice already shown above; returns those now shown last."""
    first, _, rest = finding.message.partition("\n")
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(f"**{plain(first)}**" if finding.severity != "info" else plain(first), width="stretch")
        if len(finding.files) > SHOWN_FILES:
            with st.popover(_count(len(finding.files), "file"), key=f"files-{finding.key}"):
                st.dataframe(pd.DataFrame({"file": finding.files}), hide_index=True, alt="Files that this is about")
    consequence = " ".join(part for part in (finding.effect, finding.advice) if part)
    if rest:
        st.markdown(plain(rest))
    if consequence and consequence != said:
        st.caption(plain(consequence))
    _pictures(data, finding)
    _clicks(data, finding, family)
    return consequence or said


def _pictures(data: DataSet, finding: Finding) -> None:
    """Files that belong together side by side; else the first files of a warning that no answer shows."""
    groups = finding.together
    if not groups and finding.severity != "info" and not any(fix.examples for fix in finding.fixes):
        groups = [finding.files[:SHOWN_FILES]] if finding.files and finding.code != "reading" else []
    with st.container(horizontal=True, gap="medium"):
        for files in groups[:SHOWN_TOGETHER]:
            file_pictures.draw(data, files)
    if len(groups) > SHOWN_TOGETHER:
        label = f"{len(groups) - SHOWN_TOGETHER} more"
        box = st.expander(label, key=f"together-{finding.key}", on_change="rerun")
        if box.open:
            with box, st.container(horizontal=True, gap="medium"):
                for files in groups[SHOWN_TOGETHER:]:
                    file_pictures.draw(data, files)


def _clicks(data: DataSet, finding: Finding, family: Sequence[Finding]) -> None:
    """The answers with their pictures, and beside them the click that a warning needs no change."""
    is_shown = any(fix.examples for fix in finding.fixes)
    is_list = len(finding.fixes) > MAX_BUTTONS or any(len(fix.label) > MAX_LABEL for fix in finding.fixes[1:])
    keys = [each.key for each in family]
    if finding.code == "reading":
        state.in_place(mask_reading.answers, data, acknowledge, data, keys, True)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        if finding.code != "reading" and is_list and not is_shown:
            _choice(data, finding)
        elif finding.code != "reading":
            for number, fix in enumerate(finding.fixes):
                with st.container(width="content", gap="xsmall"):
                    file_pictures.draw(data, fix.examples)
                    key = f"fix-{number}-{finding.key}"
                    st.button(plain(fix.label), key=key, on_click=mend, args=(data, dict(fix.change)))
        if finding.severity == "warning" and family and finding is family[0] and finding.code != "reading":
            st.button(
                "Dismiss",
                key=f"right-{finding.key}",
                icon=":material/visibility_off:",
                help="Hides this warning. It can be shown again.",
                on_click=acknowledge,
                args=(data, keys, True),
            )
        if finding.code in POINTERS:
            words, anchor = POINTERS[finding.code]
            st.markdown(f"[{words}](#{anchor})", width="content")


def _choice(data: DataSet, finding: Finding) -> None:
    key = f"choice-{finding.key}"
    places = range(len(finding.fixes))
    st.selectbox(
        "What to do",
        places,
        format_func=lambda place: finding.fixes[place].label,
        key=key,
        label_visibility="collapsed",
        width=320,
    )
    st.button("Apply", key=f"apply-{finding.key}", on_click=_mend_as_chosen, args=(data, finding.fixes, key))


def _mend_as_chosen(data: DataSet, fixes: Sequence[Fix], key: str) -> None:
    mend(data, dict(fixes[st.session_state[key]].change))


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
