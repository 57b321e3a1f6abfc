"""What a job reports while it works, as types; all but Progress become a line of JSON in `events.jsonl`.

Each line also carries `type`, `time` (seconds since the epoch) and `attempt` (1, 2, ... for a resumed run).
"""

import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Batch:
    """One optimizer step. `epoch` and `step` count from 0; `momentum` is AdamW's beta1.

    `lr`: of the last (top) group of layers; `lr_scales` in environment.json holds the other groups' shares of it.
    `loss` None: no pixel of its masks counts, so there was nothing to learn from and nothing was changed.
    `skipped`: its loss or gradients were not finite, so no weight was changed.
    """

    step: int
    epoch: int
    loss: float | None
    lr: float
    momentum: float
    skipped: bool = False
    type: str = "batch"


@dataclass(frozen=True)
class Epoch:
    """Scores on the validation set after `epoch` (from 0). Score definitions: inference/metrics.py.

    A loss is None where no pixel counted. `running_valid_loss`, `running_mean_dice`: of the same weights with
    BatchNorm's running statistics; None unless train.norm_statistics is both.
    """

    epoch: int
    step: int
    train_loss: float | None
    valid_loss: float | None
    mean_dice: float | None
    mean_iou: float | None
    pixel_accuracy: float | None
    dice: dict[str, float | None]
    iou: dict[str, float | None]
    is_best: bool
    running_valid_loss: float | None = None
    running_mean_dice: float | None = None
    type: str = "epoch"


@dataclass(frozen=True)
class Preview:
    """Overlays of the same few validation pictures, in `folder` of the run; `names` are the pictures' names."""

    epoch: int
    folder: str
    names: list[str]
    type: str = "preview"


@dataclass(frozen=True)
class Progress:
    """Where the job is: `done` of `total` in `phase` (plain words). It goes into status.json, not into the events.

    `detail`: what it is busy with besides. `time_left`: seconds until the job has ended, None if it cannot say.
    """

    phase: str
    done: int
    total: int
    detail: str = ""
    time_left: float | None = None
    type: str = "progress"


@dataclass(frozen=True)
class Note:
    """A message for the user: what was decided for them, or what went wrong.

    `about` may hold `changes`, options by dotted key for a run that mends it, and `page`, another page to look at.
    """

    message: str
    type: str = "note"
    about: dict[str, Any] = field(default_factory=dict)


SLOW_STEPS = "slow-steps"  # code of the note that offers to go on with one thread
BLACK_MASK = "black-mask"  # code of a note that says why one class is predicted everywhere
BLACK_MASK_GONE = "black-mask-gone"  # code of a note that takes all of these back

Event = Batch | Epoch | Preview | Progress | Note


def to_line(event: Event, *, time: float, attempt: int) -> str:
    """The event as one line of JSON with its newline. NaN and infinity become null: JSON has neither."""
    values = {key: _finite(value) for key, value in asdict(event).items()}
    return json.dumps({**values, "time": round(time, 3), "attempt": attempt}, allow_nan=False) + "\n"


def from_lines(lines: Iterable[str]) -> list[dict[str, Any]]:
    """Events as dictionaries; a line that is not JSON (torn by a kill) is passed over."""
    events = []
    for line in lines:
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict):
            events.append(value)
    return events


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
