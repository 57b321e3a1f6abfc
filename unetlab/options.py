"""The options, in groups; the group for training has a file of its own, train_options.py.

One field = type, default, bounds, label, help, where a number comes from, and About: pages, level, effects. Forms,
`--set`, `config.json`, and whether two configs cost the same or are the same problem come from these fields alone.
"""

from typing import Any, Literal

from pydantic import Field

from unetlab.option_field import ALL, BOTH, LEARNING_RATE, MEMORY_RESULT, RESULT, TRAIN, About, Options, option


class DataOptions(Options):
    """How pictures reach the network."""

    image_size: int = option(
        256,
        "Image size (px)",
        "resize: the long side. crop and tile: the side of the square. Pictures are never enlarged.",
        About(pages=BOTH, level="basic", effects=ALL),
        ge=16,
        le=4096,
    )
    size_mode: Literal["resize", "crop", "tile"] = option(
        "resize",
        "Size mode",
        "resize: the whole picture, scaled down. crop: one random square per picture and epoch. "
        "tile: as many random squares as cover the picture.",
        About(pages=BOTH, level="advanced", effects=ALL),
    )
    whole_picture_pixels: int = option(
        1024**2,
        "Largest untiled picture (px)",
        "Height times width. Larger pictures are predicted in tiles, which need less memory. A U-Net with BatchNorm "
        "scores the same either way.",
        About(pages=TRAIN, level="advanced", effects=MEMORY_RESULT),
        ge=256**2,
        le=16384**2,
    )


class ModelOptions(Options):
    """Which U-Net."""

    name: Literal["unet"] = option(
        "unet",
        "Model",
        "The classic U-Net of Ronneberger et al. 2015, with normalisation layers.",
        About(pages=BOTH, level="advanced", effects=ALL),
    )
    depth: int = option(
        4,
        "Depth",
        "How many times the picture is halved on the way down (4 in the paper).",
        About(pages=BOTH, level="advanced", effects=ALL),
        ge=1,
        le=6,
    )
    base_width: int = option(
        32,
        "Base width",
        "Channels of the first level, doubled at each further one (64 in the paper).",
        About(pages=BOTH, level="advanced", effects=ALL),
        ge=2,
        le=256,
    )
    skip: Literal["concat", "add", "none"] = option(
        "concat",
        "Skip connections",
        "How encoder features join the decoder: concatenated (the paper), added, or not.",
        About(pages=BOTH, level="advanced", effects=ALL),
    )
    norm: Literal["batch", "group"] = option(
        "batch",
        "Normalisation",
        "batch: BatchNorm, over the pictures of a step. "
        "group: GroupNorm, each picture alone, up to 8 groups of channels.",
        About(pages=BOTH, level="advanced", effects=ALL),
    )
    dropout: float = option(
        0.0,
        "Dropout",
        "Share of bottleneck channels dropped in training.",
        About(pages=BOTH, level="advanced", effects=MEMORY_RESULT, zero_is_off=True),
        ge=0,
        lt=1,
    )


class LRFindOptions(Options):
    """The learning-rate sweep."""

    start_lr: float = option(
        1e-7,
        "Sweep from",
        "First learning rate (fastai: 1e-7).",
        About(pages=LEARNING_RATE, level="advanced", effects=RESULT),
        gt=0,
        le=1,
    )
    end_lr: float = option(
        10.0,
        "Sweep to",
        "Last learning rate (fastai: 10).",
        About(pages=LEARNING_RATE, level="advanced", effects=RESULT),
        gt=0,
        le=1000,
    )
    num_steps: int = option(
        100,
        "Steps",
        "Training steps in the sweep (fastai: 100).",
        About(pages=LEARNING_RATE, level="advanced", effects=RESULT),
        ge=20,
        le=2000,
    )
    repeats: int = option(
        1,
        "Repeats",
        "Sweeps, each over newly shuffled pictures. The spread of their picks shows how certain a pick is.",
        About(pages=LEARNING_RATE, level="basic", effects=RESULT),
        ge=1,
        le=20,
    )


class ImportOptions(Options):
    """What an import reads, where it puts it, and what was decided about it already."""

    sources: list[str] = Field([], description="Folders, archives and files to copy; empty: only look at `folder`.")
    masks: str | None = Field(None, description="Folder or archive with the masks, if they are separate.")
    folder: str = Field(
        description="Name of the folder below datasets/ that is filled: a staging folder or a data set.",
        pattern=r"^(\.staging-)?[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}$",
    )
    name: str | None = Field(None, description="Data set it becomes when the report has no errors; None: report only.")
    note: str = ""
    choices: dict[str, Any] = Field(
        {}, description="Fields of data.manifest.Choices that change, as changes.revise takes."
    )
    reading: str | None = Field(None, description="Key of a reading of the masks, to use instead of the proposal.")


class PreviewOptions(Options):
    """Which pictures are shown as training augments them, and how often."""

    indices: list[int] = Field(min_length=1, max_length=6, description="Places in the data set's list of pairs.")
    draws: int = Field(4, ge=1, le=6)
    seed: int = Field(0, ge=0, lt=2**31)
