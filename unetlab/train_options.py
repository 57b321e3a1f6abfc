"""The options of a training run; a sweep reads those that its page shows too."""

import re
from collections.abc import Callable
from typing import Any, Literal

from pydantic import ValidatorFunctionWrapHandler, field_validator
from pydantic_core import PydanticCustomError

from unetlab.option_field import ALL, BOTH, MEMORY_RESULT, RESULT, SPEED, TRAIN, About, Options, option

BEST_BY = {  # what the best epoch has, by best_score
    "mean_dice": "highest mean Dice",
    "mean_iou": "highest mean IoU",
    "pixel_accuracy": "highest pixel accuracy",
    "valid_loss": "lowest validation loss",
}


class TrainOptions(Options):
    """How the network is trained."""

    epochs: int = option(
        20,
        "Epochs",
        "How many times training sees every picture.",
        About(pages=TRAIN, level="basic", effects=RESULT),
        ge=1,
        le=10_000,
    )
    max_lr: float = option(
        1e-3,
        "Learning rate (maximum)",
        "The peak of the schedule. Take it from the LR finder.",
        About(pages=TRAIN, level="basic", effects=RESULT),
        gt=0,
        le=100,
    )
    batch_size: int = option(
        8,
        "Batch size",
        "Pictures per step. Smaller needs less memory.",
        About(pages=BOTH, level="basic", effects=ALL),
        ge=1,
        le=1024,
    )
    schedule: Literal["one_cycle", "fastai_one_cycle", "flat"] = option(
        "one_cycle",
        "Schedule",
        "one_cycle: torch's OneCycleLR. fastai_one_cycle: fastai's formula. flat: the same rate throughout.",
        About(pages=TRAIN, level="advanced", effects=RESULT),
    )
    pct_start: Literal["auto"] | float = option(
        "auto",
        "Warm-up share",
        "Share of steps in which the learning rate rises. auto: 0.3 for one_cycle (torch), 0.25 for fastai_one_cycle "
        "(fastai). Or a number between 0 and 1.",
        About(pages=TRAIN, level="advanced", effects=RESULT),
    )
    div_factor: float = option(
        25.0,
        "Start divisor",
        "First rate = maximum / this (torch and fastai: 25).",
        About(pages=TRAIN, level="advanced", effects=RESULT),
        ge=1,
    )
    final_div_factor: float = option(
        1e4,
        "Final divisor",
        "Last rate = first / this (torch: 1e4). fastai_one_cycle ends at maximum / 1e5.",
        About(pages=TRAIN, level="advanced", effects=RESULT),
        ge=1,
    )
    lr_slice: Literal["one", "tenth"] | float = option(
        "one",
        "Learning rate per layer",
        "one: the same for all layers. tenth: a tenth for all but the last group of layers, like fastai's slice(lr). "
        "A number d: from maximum / d in the first group to the maximum in the last.",
        About(pages=BOTH, level="advanced", effects=RESULT),
    )
    momentum_max: float = option(
        0.95,
        "Highest momentum",
        "AdamW's beta1 at low learning rate (fastai).",
        About(pages=TRAIN, level="advanced", effects=RESULT),
        ge=0,
        lt=1,
    )
    momentum_min: float = option(
        0.85,
        "Lowest momentum",
        "AdamW's beta1 at the peak rate (fastai).",
        About(pages=TRAIN, level="advanced", effects=RESULT),
        ge=0,
        lt=1,
    )
    weight_decay: float = option(
        0.01,
        "Weight decay",
        "AdamW's decoupled decay (fastai and torch: 0.01).",
        About(pages=BOTH, level="advanced", effects=RESULT),
        ge=0,
        le=1,
    )
    precision: Literal["auto", "fp32", "bf16-mixed", "fp16-mixed"] = option(
        "auto",
        "Precision",
        "auto: bf16-mixed where the device computes it fast, else fp16-mixed on a GPU, else fp32. Weights stay fp32.",
        About(pages=BOTH, level="basic", effects=ALL),
    )
    loss: Literal["cross_entropy", "dice", "cross_entropy+dice"] = option(
        "cross_entropy+dice",
        "Loss",
        "Cross-entropy judges pixels, Dice judges the overlap of regions.",
        About(pages=BOTH, level="advanced", effects=MEMORY_RESULT),
    )
    class_weights: Literal["none", "balanced"] = option(
        "none",
        "Class weights",
        "balanced: rare classes count more in the cross-entropy, by 1 / sqrt(share) with mean 1. "
        "A class without training pixels has weight 0.",
        About(pages=BOTH, level="advanced", effects=RESULT),
    )
    augment: Literal["none", "flips", "standard", "strong"] = option(
        "standard",
        "Augmentation",
        "flips: mirrored. standard: also rotated up to 15 degrees, scaled, brighter or darker. strong: more of each.",
        About(pages=BOTH, level="basic", effects=MEMORY_RESULT),
    )
    accumulate: int = option(
        1,
        "Accumulated batches",
        "Gradients of this many batches make one step: the effect of a larger batch in the memory of a small one.",
        About(pages=BOTH, level="advanced", effects=ALL),
        ge=1,
        le=1024,
    )
    clip_norm: float = option(
        0.0,
        "Gradient clipping",
        "Largest gradient norm in a step; 0: off.",
        About(pages=BOTH, level="advanced", effects=RESULT, zero_is_off=True),
        ge=0,
    )
    ema: float = option(
        0.0,
        "Averaged weights (EMA)",
        "Scores and saves a moving average of the weights with this decay, such as 0.99; 0: off.",
        About(pages=TRAIN, level="advanced", effects=MEMORY_RESULT, zero_is_off=True),
        ge=0,
        lt=1,
    )
    norm_statistics: Literal["reestimated", "running", "both"] = option(
        "reestimated",
        "BatchNorm statistics in validation",
        "reestimated: from a few training batches before each validation. running: averages kept during training, "
        "which lag behind weights that change fast. both: both scores, as two curves.",
        About(pages=TRAIN, level="advanced", effects=RESULT),
    )
    best_score: Literal["mean_dice", "mean_iou", "pixel_accuracy", "valid_loss"] = option(
        "mean_dice",
        "Best epoch by",
        "The score that chooses the best epoch; ties go to the lower validation loss.",
        About(pages=TRAIN, level="advanced", effects=RESULT),
    )
    patience: int = option(
        0,
        "Patience (epochs)",
        "Stops after this many epochs without a better score; 0: never.",
        About(pages=TRAIN, level="advanced", effects=RESULT, zero_is_off=True),
        ge=0,
        le=10_000,
    )
    seed: int = option(
        0,
        "Seed",
        "Same seed, machine and threads: same losses, bit for bit (CPU).",
        About(pages=BOTH, level="advanced", effects=RESULT),
        ge=0,
        lt=2**31,
    )
    device: str = option(
        "auto",
        "Device",
        "auto: a GPU if there is one, else the CPU. Or by name: cpu, cuda, cuda:N, mps.",
        About(pages=BOTH, level="advanced", effects=ALL),
    )
    threads: Literal["auto"] | int = option(
        "auto",
        "CPU threads",
        "auto: all cores or one, whichever is faster at the start. A resumed run keeps its number, on which the last "
        "bits of its losses depend.",
        About(pages=BOTH, level="advanced", effects=SPEED),
    )

    @field_validator("device")
    @classmethod
    def _known_device(cls, device: str) -> str:
        if not re.fullmatch(r"auto|cpu|mps|cuda(:\d{1,2})?", device):
            raise PydanticCustomError("device", "is not a device: auto, cpu, cuda, cuda:N or mps")
        return device

    @field_validator("lr_slice", mode="wrap")
    @classmethod
    def _name_or_divisor(cls, value: Any, check: ValidatorFunctionWrapHandler) -> Any:
        problem = PydanticCustomError("lr_slice", "is neither 'one' nor 'tenth' nor a number from 1 to 1e6")
        return _checked(value, check, problem, lambda number: 1 <= number <= 1e6)

    @field_validator("threads", mode="wrap")
    @classmethod
    def _auto_or_count(cls, value: Any, check: ValidatorFunctionWrapHandler) -> Any:
        problem = PydanticCustomError("threads", "is neither 'auto' nor a whole number from 1 to 1024")
        return _checked(value, check, problem, lambda number: 1 <= number <= 1024)

    @field_validator("pct_start", mode="wrap")
    @classmethod
    def _auto_or_share(cls, value: Any, check: ValidatorFunctionWrapHandler) -> Any:
        problem = PydanticCustomError("pct_start", "is neither 'auto' nor a number above 0 and below 1")
        return _checked(value, check, problem, lambda number: 0 < number < 1)

    @property
    def pictures_per_step(self) -> int:
        """Pictures that one optimizer step sees: `accumulate` batches."""
        return self.batch_size * self.accumulate


def _checked(
    value: Any,
    check: ValidatorFunctionWrapHandler,
    problem: PydanticCustomError,
    is_allowed: Callable[[float], bool],
) -> Any:
    """The value of an option that is a name or a number; one problem, where pydantic would report one for each kind."""
    try:
        checked = check(value)
    except ValueError:
        raise problem from None
    if isinstance(value, bool) or (not isinstance(checked, str) and not is_allowed(checked)):
        raise problem
    return checked
