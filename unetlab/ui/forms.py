"""Widgets made from the config's fields: label, help, bounds and choices come from there. Nothing is typed twice.

A form (`lr`, `train`) belongs to the data set of its config: each set has its own, and drafts.py keeps it.
"""

import contextlib
import re
from pathlib import Path
from typing import Any

import streamlit as st

from unetlab.config import RunConfig, choices, fault, option_fields, takes_number
from unetlab.errors import ConfigError
from unetlab.runs import devices
from unetlab.ui import drafts, state
from unetlab.ui.text import plain


def key_of(form: str, dataset: str, name: str) -> str:
    """Where the session keeps a field of the form, and the key of its widget."""
    return f"{form}:{dataset}:{name}"


def value(form: str, dataset: str, name: str, default: Any) -> Any:
    """The form's value, drawn or not: from this session, else from an earlier one, else `default`."""
    key = key_of(form, dataset, name)
    return st.session_state[key] if key in st.session_state else drafts.read(_folder(dataset), form).get(name, default)


def is_kept(form: str, dataset: str, name: str) -> bool:
    """Whether the field was set by a person or filled, and not only drawn with its default."""
    return name in drafts.read(_folder(dataset), form)


def put(form: str, dataset: str, values: dict[str, Any]) -> None:
    """Sets fields of the form and keeps them; call it before they are drawn (a callback)."""
    st.session_state.update({key_of(form, dataset, name): new for name, new in values.items()})
    drafts.write(_folder(dataset), form, values)


def fill(form: str, config: RunConfig, keys: list[str]) -> None:
    """Puts the config's values into the widgets that `options` draws; call it before they are drawn (a callback)."""
    put(form, config.dataset, {key: value_in(config, key) for key in keys})


def keep(form: str, dataset: str, name: str) -> None:
    """A callback: saves what the user has set, so that it outlives the session."""
    drafts.write(_folder(dataset), form, {name: st.session_state[key_of(form, dataset, name)]})


def forget(dataset: str) -> None:
    """For a deleted data set: another one of the same name starts with fresh forms in this session too."""
    for key in [key for key in st.session_state if f":{dataset}:" in str(key)]:
        del st.session_state[key]


def options(form: str, config: RunConfig, keys: list[str]) -> dict[str, Any]:
    """Draws a widget for each key, first filled from the form's draft, else from `config`; the values by dotted key.

    A value that is not allowed is returned too, and what is wrong with it stands below its widget.
    """
    fresh = [key for key in keys if key_of(form, config.dataset, key) not in st.session_state]
    kept = drafts.read(_folder(config.dataset), form) if fresh else {}
    for key in fresh:
        start = config
        if key in kept:
            with contextlib.suppress(ConfigError):  # kept by a version with other bounds, or changed by hand
                start = config.changed({key: kept[key]})
        st.session_state[key_of(form, config.dataset, key)] = value_in(start, key)
    with st.container():  # what follows keeps its place whatever is said below a widget
        return {key: _field(form, config.dataset, key) for key in keys}


def checked(base: RunConfig, values: dict[str, Any], **top: Any) -> RunConfig:
    """The config that a form describes. Raises ConfigError, which names options by their labels."""
    try:
        return base.changed(values, **top)
    except ConfigError as error:
        labels = {key: field.title for key, field in option_fields().items()}
        text = re.sub(r"\b[a-z_]+\.[a-z_]+\b", lambda found: labels.get(found[0], found[0]), str(error))
        raise ConfigError(text) from None


def configured(base: RunConfig, values: dict[str, Any], **top: Any) -> RunConfig | None:
    """The config that the drawn form describes; None, and a word about it, while there is something wrong with it."""
    said = st.container()  # what follows keeps its place with and without a word
    if wrong := [option_fields()[key].title for key in values if fault(key, values[key])]:
        said.error(f"Correct first: {', '.join(wrong)}.", icon=":material/error:")
        return None
    try:
        return checked(base, values, **top)
    except ConfigError as error:  # two options that do not go together
        said.error(plain(str(error)), icon=":material/error:")
        return None


def held(form: str, dataset: str, keys: list[str]) -> dict[str, Any]:
    """The drawn form's values now, by dotted key; for a callback, which would otherwise start what was drawn last.

    A value that was just typed and the press of a button reach the callback together.
    """
    return {key: st.session_state[key_of(form, dataset, key)] for key in keys}


def value_in(config: RunConfig, key: str) -> Any:
    """The option of a config by its dotted key, as its widget shows it: a number among names is text."""
    asked = config.value(key)
    return f"{asked:g}" if choices(key) and isinstance(asked, int | float) else asked


def _folder(dataset: str) -> Path:
    return state.workspace().datasets / dataset


def _field(form: str, dataset: str, key: str) -> Any:
    chosen = _widget(form, dataset, key)
    tell_wrong(key, chosen)
    return chosen


def tell_wrong(key: str, chosen: Any) -> None:
    """Says below the widget of an option what is wrong with its value; nothing if it is allowed."""
    if wrong := fault(key, chosen):
        st.markdown(f":red[:small[:material/error: {plain(f'{option_fields()[key].title}: {wrong}.')}]]")


def _widget(form: str, dataset: str, key: str) -> Any:
    """The widget of an option. Numbers have no bounds: Streamlit keeps the last number within them and tells nobody."""
    field = option_fields()[key]
    shared: dict[str, Any] = {
        "key": key_of(form, dataset, key),
        "help": field.description,
        "persist_state": "session",
        "on_change": keep,
        "args": (form, dataset, key),
    }
    if names := choices(key):
        return st.selectbox(field.title, names, accept_new_options=takes_number(key), **shared)
    if key == "train.device":
        chosen, names = st.session_state[shared["key"]], devices.offered()
        names += [] if chosen in names else [chosen]  # of a run that was trained elsewhere
        return st.selectbox(field.title, names, format_func=_device_name, **shared)
    if field.annotation is int:
        return st.number_input(field.title, step=1, **shared)
    return st.number_input(field.title, format=_format(key), step=_step(key), **shared)


def _device_name(device: str) -> str:
    return device if device == "auto" else f"{device} · {devices.label(device)}"


def _format(key: str) -> str:
    return "%.2e" if key.endswith(("_lr", "weight_decay")) else "%g"


def _step(key: str) -> float:
    return 1e-4 if key.endswith("_lr") else 0.01
