"""What can be asked for, in groups: one field = type, default, bounds, label, help, and where a number comes from.

Forms, command-line flags, `config.json` and the documentation are made from these fields.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidatorFunctionWrapHandler, field_validator
from pydantic_core import PydanticCustomError

Level = Literal["basic", "advanced"]


def _option(default: Any, label: str, help: str, *, level: Level = "advanced", **bounds: Any) -> Any:
    return Field(default, title=label, description=help, json_schema_extra={"level": level}, **bounds)


class Options(BaseModel):
    # infinity and NaN have no JSON: a config with them could not be kept
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class DataOptions(Options):
    """How pictures reach the network."""

    image_size: int = _option(
        256,
        "Image size (px)",
        "Long side in resize mode, side of the square in crop and tile mode. Never enlarges.",
        level="basic",
        ge=16,
        le=4096,
    )
    size_mode: Literal["resize", "crop", "tile"] = _option(
        "resize",
        "Size mode",
        "resize: the whole picture, smaller. crop: one random square of each picture per epoch. "
        "tile: as many random squares as cover the picture.",
    )


class ModelOptions(Options):
    """Which U-Net."""

    name: Literal["unet"] = _option("unet", "Model", "The classic U-Net of Ronneberger et al. 2015, with BatchNorm.")
    depth: int = _option(4, "Depth", "How often the picture is halved on the way down (4 in the paper).", ge=1, le=6)
    base_width: int = _option(
        32, "Base width", "Channels of the first level, doubled at each next one (64 in the paper).", ge=2, le=256
    )
    skip: Literal["concat", "add", "none"] = _option(
        "concat", "Skip connections", "How encoder features join the decoder: concatenated (the paper), added, or not."
    )
    dropout: float = _option(0.0, "Dropout", "Share of bottleneck channels switched off in training.", ge=0, lt=1)


class TrainOptions(Options):
    """How the network is trained."""

    epochs: int = _option(20, "Epochs", "How often training sees every picture once.", level="basic", ge=1, le=10_000)
    batch_size: int = _option(
        8, "Batch size", "Pictures per step. Smaller needs less memory.", level="basic", ge=1, le=1024
    )
    max_lr: float = _option(
        1e-3,
        "Learning rate (maximum)",
        "The peak of the schedule. Take it from the LR finder.",
        level="basic",
        gt=0,
        le=100,
    )
    schedule: Literal["one_cycle", "fastai_one_cycle", "flat"] = _option(
        "one_cycle",
        "Schedule",
        "one_cycle: torch's OneCycleLR. fastai_one_cycle: fastai's formula. flat: the same rate throughout.",
    )
    pct_start: float = _option(
        0.3,
        "Warm-up share",
        "Share of all steps in which the learning rate rises (torch and fastai v1: 0.3).",
        gt=0,
        lt=1,
    )
    div_factor: float = _option(25.0, "Start divisor", "The first rate is max / this (torch and fastai: 25).", ge=1)
    final_div_factor: float = _option(
        1e4, "Final divisor", "The last rate is first / this (torch: 1e4). fastai_one_cycle ends at max / 1e5.", ge=1
    )
    lr_slice: Literal["one", "tenth"] | float = _option(
        "one",
        "Learning rates of the layers",
        "one: the maximum for all. tenth: a tenth of it for all but the last group of layers, as fastai's slice(lr). "
        "A number d: from maximum / d in the first group to the maximum in the last.",
    )
    momentum_max: float = _option(0.95, "Momentum, high", "AdamW's beta1 at low learning rate (fastai).", ge=0, lt=1)
    momentum_min: float = _option(0.85, "Momentum, low", "AdamW's beta1 at the peak rate (fastai).", ge=0, lt=1)
    weight_decay: float = _option(0.01, "Weight decay", "AdamW's decoupled decay (fastai and torch: 0.01).", ge=0, le=1)
    precision: Literal["auto", "fp32", "bf16-mixed", "fp16-mixed"] = _option(
        "auto",
        "Precision",
        "auto: bf16-mixed where the device computes it fast, else fp16-mixed on a GPU, else fp32. Weights stay fp32.",
        level="basic",
    )
    device: str = _option(
        "auto", "Device", "auto, cpu, cuda, cuda:N or mps.", pattern=r"^(auto|cpu|mps|cuda(:\d{1,2})?)$"
    )
    loss: Literal["cross_entropy", "dice", "cross_entropy+dice"] = _option(
        "cross_entropy+dice", "Loss", "Cross-entropy judges pixels, Dice judges the overlap of regions."
    )
    class_weights: Literal["none", "balanced"] = _option(
        "none",
        "Class weights",
        "balanced: rare classes count more in the cross-entropy, by 1 / sqrt(share) with mean 1.",
    )
    augment: Literal["none", "flips", "standard", "strong"] = _option(
        "standard",
        "Augmentation",
        "flips: mirrored. standard: also rotated by up to 15 degrees, scaled, brighter or darker. strong: more of it.",
        level="basic",
    )
    accumulate: int = _option(
        1,
        "Accumulated batches",
        "Gradients of so many batches make one step: the effect of a larger batch in the memory of a small one.",
        ge=1,
        le=1024,
    )
    clip_norm: float = _option(
        0.0, "Gradient clipping", "Largest gradient norm allowed in a step; 0 switches clipping off.", ge=0
    )
    ema: float = _option(
        0.0,
        "Averaged weights (EMA)",
        "Scores and keeps a moving average of the weights with this decay, such as 0.99; 0 switches it off.",
        ge=0,
        lt=1,
    )
    best_score: Literal["mean_dice", "mean_iou", "pixel_accuracy", "valid_loss"] = _option(
        "mean_dice", "Best epoch by", "The score that chooses the best epoch; ties go to the lower validation loss."
    )
    patience: int = _option(
        0,
        "Patience (epochs)",
        "Ends after so many epochs without a better score; 0 trains all epochs.",
        ge=0,
        le=10_000,
    )
    seed: int = _option(0, "Seed", "Same seed, machine and threads: same losses, to the bit (CPU).", ge=0, lt=2**31)

    @field_validator("lr_slice", mode="wrap")
    @classmethod
    def _name_or_divisor(cls, value: Any, check: ValidatorFunctionWrapHandler) -> Any:
        problem = PydanticCustomError("lr_slice", "Input should be 'one', 'tenth' or a number from 1 to 1e6")
        try:
            checked = check(value)
        except ValueError:  # pydantic's own words would be two errors, one for each kind of value
            raise problem from None
        if isinstance(checked, float) and not 1 <= checked <= 1e6:
            raise problem
        return checked

    @property
    def pictures_per_step(self) -> int:
        """Pictures that one optimizer step sees: `accumulate` batches."""
        return self.batch_size * self.accumulate


class LRFindOptions(Options):
    """The learning-rate sweep."""

    start_lr: float = _option(1e-7, "Sweep from", "First learning rate (fastai: 1e-7).", gt=0, le=1)
    end_lr: float = _option(10.0, "Sweep to", "Last learning rate (fastai: 10).", gt=0, le=1000)
    num_steps: int = _option(100, "Steps", "Training steps in the sweep (fastai: 100).", ge=20, le=2000)
    repeats: int = _option(
        1,
        "Repeats",
        "Sweeps over freshly shuffled pictures; the spread of their picks says how sure they are.",
        level="basic",
        ge=1,
        le=20,
    )


class ImportOptions(Options):
    """What an import takes in, where to, and what a person decided about it already."""

    sources: list[str] = Field([], description="Folders, archives and files to copy; empty: only look at `folder`.")
    masks: str | None = Field(None, description="Folder or archive with the masks, when they lie apart.")
    folder: str = Field(
        description="Name of the folder below datasets/ that is filled: a staging folder or a data set.",
        pattern=r"^(\.staging-)?[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}$",
    )
    name: str | None = Field(None, description="Data set it becomes when the report has no errors; None: report only.")
    note: str = ""
    choices: dict[str, Any] = Field(
        {}, description="Fields of data.manifest.Choices that change, as changes.revise takes."
    )
    reading: str | None = Field(None, description="Key of a reading of the masks, where the proposal is not wanted.")


class PreviewOptions(Options):
    """Which pictures are shown as training augments them, and how often."""

    indices: list[int] = Field(min_length=1, max_length=6, description="Places in the data set's list of pairs.")
    draws: int = Field(4, ge=1, le=6)
    seed: int = Field(0, ge=0, lt=2**31)
