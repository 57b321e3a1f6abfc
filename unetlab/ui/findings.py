"""What was found in a data set: what needs you, what is worth a look, what is good to know, each with its clicks."""

import zlib
from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from unetlab.data import changes
from unetlab.data.dataset import DataSet
from unetlab.data.manifest import Finding, Fix
from unetlab.ui import state
from unetlab.ui.text import plain

FAMILIES = {"near-misses": "near-miss"}  # findings that are shown as one, under the code of the most frequent
SHOWN_ROWS = 3  # of one family; the rest one click away
SHOWN_FILES = 3  # messages name this many themselves
MAX_BUTTONS, MAX_LABEL = 2, 40  # more fixes, or longer labels, become a list to choose from
TITLES = {
    "error": ":red[:material/error:] Needs your attention before this can be used",
    "warning": ":orange[:material/warning:] Worth a look",
}
POINTERS = {  # findings that are mended in a panel of their own, and its anchor
    "reading": ("Choose below", "how-the-masks-are-read"),
    "image-without-mask": ("Pair by hand", "pairs"),
    "ambiguous": ("Pair by hand", "pairs"),
}


def headline(data: DataSet) -> None:
    """What the set holds in one line, and the layout of its files."""
    manifest = data.manifest
    parts = [_count(len(manifest.pairs), "pair")]
    if data.manifest.classes:
        parts.append(f"{data.num_classes} classes")
    errors, warnings = (len(of_severity(manifest.findings, severity)) for severity in ("error", "warning"))
    if errors:
        parts.append(f"{_count(errors, 'thing')} {'needs' if errors == 1 else 'need'} your attention")
    if warnings:
        parts.append(f"{_count(warnings, 'thing')} to look at")
    if not errors and not warnings:
        parts.append("no problem was found")
    st.subheader(", ".join(parts), anchor=False)
    if manifest.layout:
        st.caption(f":material/folder_open: Layout: {plain(manifest.layout)}")
    if manifest.note:
        st.caption(f":material/science: {plain(manifest.note)}")


def draw(data: DataSet) -> None:
    """All findings by severity; minor ones and decisions are folded away."""
    found = data.manifest.findings
    for severity, title in TITLES.items():
        families = of_severity(found, severity)
        if families:
            st.markdown(f"**{title}**")
        for family in families:
            with st.container(border=True, gap="xsmall"):
                _family(data, family)
    notes, decisions = of_severity(found, "info"), data.manifest.decisions
    if notes or decisions:
        with st.expander(f"Good to know ({len(notes) + len(decisions)})", icon=":material/info:", key="good-to-know"):
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


def mend(data: DataSet, change: dict[str, Any]) -> None:
    """A callback: changes decisions about the set; an error is shown at the top of the page."""
    with st.spinner("Checking again", show_time=True):
        state.attempt(changes.revise, data.folder, change)


def _family(data: DataSet, family: Sequence[Finding]) -> None:
    said = ""
    for finding in family[:SHOWN_ROWS]:
        said = _row(data, finding, said)
    if len(family) > SHOWN_ROWS:
        with st.expander(f"{len(family) - SHOWN_ROWS} more of this kind", key=f"more-{_key(family[0])}"):
            for finding in family[SHOWN_ROWS:]:
                said = _row(data, finding, said)


def _row(data: DataSet, finding: Finding, said: str) -> str:
    """One finding. `said`: effect and advice already shown above; returns those now shown last."""
    first, _, rest = finding.message.partition("\n")
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(f"**{plain(first)}**", width="stretch")
        if len(finding.files) > SHOWN_FILES:
            with st.popover(_count(len(finding.files), "file"), key=f"files-{_key(finding)}"):
                st.dataframe(pd.DataFrame({"file": finding.files}), hide_index=True, alt="Files that this is about")
        _clicks(data, finding)
    consequence = " ".join(part for part in (finding.effect, finding.advice) if part)
    if rest:
        st.markdown(plain(rest))
    if consequence and consequence != said:
        st.caption(plain(consequence))
    return consequence or said


def _clicks(data: DataSet, finding: Finding) -> None:
    if finding.code in POINTERS:
        words, anchor = POINTERS[finding.code]
        st.markdown(f"[{words}](#{anchor})", width="content")
    elif len(finding.fixes) > MAX_BUTTONS or any(len(fix.label) > MAX_LABEL for fix in finding.fixes[1:]):
        _choice(data, finding)
    else:
        for number, fix in enumerate(finding.fixes):
            key = f"fix-{number}-{_key(finding)}"
            st.button(plain(fix.label), key=key, on_click=mend, args=(data, dict(fix.change)))


def _choice(data: DataSet, finding: Finding) -> None:
    key = f"choice-{_key(finding)}"
    places = range(len(finding.fixes))
    st.selectbox(
        "What to do",
        places,
        format_func=lambda place: finding.fixes[place].label,
        key=key,
        label_visibility="collapsed",
        width=320,
    )
    st.button("Apply", key=f"apply-{_key(finding)}", on_click=_mend_as_chosen, args=(data, finding.fixes, key))


def _mend_as_chosen(data: DataSet, fixes: Sequence[Fix], key: str) -> None:
    mend(data, dict(fixes[st.session_state[key]].change))


def _key(finding: Finding) -> str:
    """A key that stays the same as long as the finding does."""
    return f"{finding.code}-{zlib.crc32(finding.model_dump_json().encode()):08x}"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
