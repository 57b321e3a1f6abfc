"""Widgets made from the config's fields: label, help, bounds and choices come from there. Nothing is typed twice."""

from typing import Any

import streamlit as st

from unetlab.config import RunConfig, choices, option_fields, takes_number


def fill(prefix: str, config: RunConfig, keys: list[str]) -> None:
    """Puts the config's values into the widgets that `options` draws; call it before they are drawn (a callback)."""
    for key in keys:
        value = config.value(key)
        st.session_state[f"{prefix}:{key}"] = f"{value:g}" if choices(key) and isinstance(value, float) else value


def options(prefix: str, config: RunConfig, keys: list[str]) -> dict[str, Any]:
    """Draws a widget for each key, first filled from `config`, and returns the values by dotted key."""
    return {key: _widget(prefix, key, config) for key in keys}


def _widget(prefix: str, key: str, config: RunConfig) -> Any:
    field = option_fields()[key]
    state_key = f"{prefix}:{key}"
    if state_key not in st.session_state:
        fill(prefix, config, [key])
    shared: dict[str, Any] = {"key": state_key, "help": field.description, "persist_state": "session"}
    if names := choices(key):
        return st.selectbox(field.title, names, accept_new_options=takes_number(key), **shared)
    low, high = _bound(field, "ge", "gt"), _bound(field, "le", "lt")
    if field.annotation is int:
        return st.number_input(field.title, low, high, step=1, **shared)
    if field.annotation is float:
        return st.number_input(
            field.title,
            None if low is None else float(low),
            None if high is None else float(high),
            format=_format(key),
            step=_step(key),
            **shared,
        )
    return st.text_input(field.title, **shared)


def _bound(field: Any, *names: str) -> Any:
    return next((getattr(item, name) for item in field.metadata for name in names if hasattr(item, name)), None)


def _format(key: str) -> str:
    return "%.2e" if key.endswith(("_lr", "weight_decay")) else "%g"


def _step(key: str) -> float:
    return 1e-4 if key.endswith("_lr") else 0.01
