"""How an option is declared: its field has type, default, bounds, label and help, and pages, level and effects."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Page = Literal["train", "learning_rate"]
Level = Literal["basic", "advanced"]
Effect = Literal["speed", "memory", "result"]

TRAIN: tuple[Page, ...] = ("train",)
LEARNING_RATE: tuple[Page, ...] = ("learning_rate",)
BOTH: tuple[Page, ...] = ("train", "learning_rate")
RESULT: tuple[Effect, ...] = ("result",)
SPEED: tuple[Effect, ...] = ("speed",)
MEMORY_RESULT: tuple[Effect, ...] = ("memory", "result")
ALL: tuple[Effect, ...] = ("speed", "memory", "result")


@dataclass(frozen=True, kw_only=True)
class About:
    """Where an option is shown, and what it changes.

    pages: the pages that show it, whose jobs read it. level: basic is shown at once, advanced under Advanced.
    effects: which of these it changes: speed, the time of a step, by a tenth or more; memory, the peak of a run;
    result, the losses, scores or weights. zero_is_off: 0 switches it off, and every value above 0 costs the same.
    """

    pages: tuple[Page, ...]
    level: Level
    effects: tuple[Effect, ...]
    zero_is_off: bool = False


class Options(BaseModel):
    """A group of options."""

    # JSON has no infinity and no NaN: a config with them could not be stored
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def option(default: Any, label: str, help: str, about: About, **bounds: Any) -> Any:
    """A field of a group. `bounds`: pydantic's ge, gt, le, lt."""
    return Field(default, title=label, description=help, json_schema_extra=asdict(about), **bounds)
