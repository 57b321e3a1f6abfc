"""A few pictures as training will augment them, made by the training code, on request."""

import contextlib
from typing import get_args

import numpy as np
import streamlit as st

from unetlab.config import RunConfig
from unetlab.data import geometry
from unetlab.data.dataset import DataSet
from unetlab.errors import RunError
from unetlab.options import PreviewOptions
from unetlab.runs import jobs, launching
from unetlab.runs.store import Run, open_run
from unetlab.train_options import TrainOptions
from unetlab.ui import hosting, sizing, state
from unetlab.ui.text import plain

PICTURES, DRAWS = 4, 4
POLL_S = 0.25
STRENGTHS = get_args(TrainOptions.model_fields["augment"].annotation)
SHOWN_PX = 384  # as training/augmentation_preview.py draws them


def draw(data: DataSet) -> None:
    """A box that, once opened, shows training pictures beside their augmentations."""
    _warm_up()
    box = st.expander(
        "What augmentation does to the pictures",
        icon=":material/auto_awesome_motion:",
        key="augmenting",
        on_change="rerun",
    )
    if box.open:
        with box:
            st.fragment(_controls)(data)


def config_of(data: DataSet, strength: str, seed: int) -> RunConfig:
    """The preview of up to four training pictures spread over the set, at the size that the Train form has."""
    training = data.indices("train")
    chosen = sorted({training[int(place)] for place in np.linspace(0, len(training) - 1, PICTURES)})
    options = PreviewOptions(indices=chosen, draws=DRAWS, seed=seed)
    return RunConfig(kind="preview", dataset=data.name, preview=options).changed(
        {**sizing.chosen_size(data), "train.augment": strength}
    )


def _warm_up() -> None:
    """Once per session, so that the first preview, too, comes within a second."""
    if not st.session_state.get("is-warmed-up"):
        st.session_state["is-warmed-up"] = True
        launching.warm_up(state.workspace())


def _controls(data: DataSet) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        strength = st.segmented_control(
            "Strength",
            STRENGTHS,
            default=TrainOptions().augment,
            required=True,
            key="augment-strength",
            help=TrainOptions.model_fields["augment"].description,
        )
        st.button("New draw", icon=":material/casino:", key="augment-again", on_click=_draw_anew)
    config = config_of(data, strength or TrainOptions().augment, st.session_state.get("augment-seed", 0))
    _show(data, _run_of(data, config), config)


def _draw_anew() -> None:
    st.session_state["augment-seed"] = st.session_state.get("augment-seed", 0) + 1


def _run_of(data: DataSet, config: RunConfig) -> Run:
    """The preview that was started for exactly this; a new one if anything has changed or its run was deleted."""
    wanted = (config.model_dump_json(), data.manifest.content_hash, data.manifest.version)
    if st.session_state.get("augment-wanted") == wanted:
        with contextlib.suppress(RunError):
            return open_run(state.workspace(), st.session_state["augment-run"])
    run = jobs.start(state.workspace(), config)
    st.session_state.update({"augment-wanted": wanted, "augment-run": run.id})
    return run


def _show(data: DataSet, run: Run, config: RunConfig) -> None:
    was_live, blanks = run.status.is_live, _blanks(data, config)

    def look() -> None:
        status = run.status
        if status.is_live or status.state == "finished":
            _grid(data, run, config, blanks)
            word = "Drawing; the first time takes a few seconds." if status.is_live else "Left: unchanged."
            st.caption(
                f"{word} Training augments each picture differently in every epoch, together with its mask, at "
                f"{config.data.image_size} px ({config.data.size_mode}). Validation pictures are never changed."
            )
        else:
            reason = f"{plain(hosting.reason_of(status))} Press New draw to try again."
            st.error(reason, title="There is no preview", icon=":material/error:")
        if was_live and not status.is_live:
            st.rerun()  # everything is drawn; the polling ends with this

    state.poll(look, every=POLL_S if was_live else None)


def _grid(data: DataSet, run: Run, config: RunConfig, blanks: list[np.ndarray]) -> None:
    """The pictures that are there; an empty one of the same shape stands in for one that is not."""
    assert config.preview is not None
    for row, index in enumerate(config.preview.indices):
        name = data.manifest.pairs[index].name
        with st.grid(DRAWS + 1, min_column_width=56, gap="xsmall"):
            for column in range(DRAWS + 1):
                path = run.folder / "augmented" / f"{row}_{column}.jpg"
                what = f"{name}, {f'draw {column}' if column else 'unchanged'}"
                if path.exists():
                    st.image(str(path), width="stretch", alt=what)
                else:
                    blank = blanks[row] if column == 0 else blanks[-1]
                    st.image(blank, width="stretch", output_format="JPEG", alt=f"{what}: not there yet")


def _blanks(data: DataSet, config: RunConfig) -> list[np.ndarray]:
    """Empty pictures in the shape of each one that is shown unchanged, and, last, in that of the augmented ones."""
    assert config.preview is not None
    pairs, size = data.manifest.pairs, config.data.image_size
    is_resized = config.data.size_mode == "resize"

    def shape(index: int) -> tuple[int, int]:
        height, width = pairs[index].height, pairs[index].width
        return geometry.fit_size(height, width, size) if is_resized else (height, width)

    shapes = [shape(index) for index in data.indices("train")]
    canvas = (max(h for h, _ in shapes), max(w for _, w in shapes)) if is_resized else (size, size)
    return [_blank(*shape(index)) for index in config.preview.indices] + [_blank(*canvas)]


def _blank(height: int, width: int) -> np.ndarray:
    return np.full((*geometry.fit_size(height, width, SHOWN_PX), 3), 128, np.uint8)
