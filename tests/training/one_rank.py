"""What each process of tests/training/test_distributed.py does: the same small trainings, alone or as one of two.

`python -m tests.training.one_rank ANSWER.json`, with torchrun's variables in the environment.
"""

import json
import math
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tests.toy import Plain
from tests.training.test_learner import scored
from unetlab.data.dataset import IGNORE
from unetlab.events import Batch, Event
from unetlab.inference.evaluation import Evaluation
from unetlab.runs.status import Paused
from unetlab.training.distributed import Team, open_team
from unetlab.training.learner import Learner, Position
from unetlab.training.losses import Loss, make_loss

CPU = torch.device("cpu")
SIZES = (5, 4, 1)  # pictures of each step: unequal shares, equal ones, fewer pictures than ranks
SCENARIOS: dict[str, dict[str, Any]] = {
    "whole": {},
    "in parts": {"micro_batch": 1},
    "clipped": {"clip_norm": 0.05},
    "averaged": {"ema": 0.9},
    "fp16": {"precision_name": "fp16-mixed"},
    "balanced": {
        "loss": make_loss("cross_entropy+dice", torch.tensor([0.1, 3.0])),
        "micro_batch": 2,
        "is_double": True,
    },
}


class Minibatches:
    """Stands for TrainingBatches: noise in which a class can be learnt; picture i has i columns that do not count."""

    steps_per_epoch = len(SIZES)

    def epoch(self, number: int, *, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        for step in range(start, len(SIZES)):
            generator = torch.Generator().manual_seed(100 * number + step)
            images = torch.rand(SIZES[step], 1, 8, 8, generator=generator)
            masks = (images[:, 0] > 0.5).long()
            for index in range(SIZES[step]):
                masks[index, :, :index] = IGNORE
            yield images, masks


def learner_for(team: Team, *, loss: Loss | None = None, is_double: bool = False, **options: Any) -> Learner:
    model = Plain().double() if is_double else Plain()
    return Learner(model, loss or make_loss("cross_entropy"), device=CPU, team=team, **options)


def trained(team: Team, **options: Any) -> dict[str, Any]:
    """Losses of two epochs of steps and the weights afterwards, those that are scored."""
    learner = learner_for(team, **options)
    losses = [
        learner.train_step(images.to(next(learner.model.parameters()).dtype), masks, 0.01, 0.9)
        for epoch in range(2)
        for images, masks in Minibatches().epoch(epoch)
    ]
    return {"losses": losses, "weights": [p.flatten().tolist() for p in learner.scored_model.parameters()]}


def skipping(team: Team) -> dict[str, Any]:
    """A step in which only the last picture, the other rank's, is not a number; and one after it."""
    learner = learner_for(team)
    before = [p.clone() for p in learner.model.parameters()]
    images, masks = next(Minibatches().epoch(0))
    spoilt = images.clone()
    spoilt[-1] = math.nan
    loss = learner.train_step(spoilt, masks, 0.01, 0.9) or 0.0
    is_kept = all(torch.equal(a, b) for a, b in zip(before, learner.model.parameters(), strict=True))
    is_skipped = learner.is_skipped
    learner.train_step(images, masks, 0.01, 0.9)
    return {"is_finite": math.isfinite(loss), "skipped": [is_skipped, learner.is_skipped], "is_kept": is_kept}


def fitted(team: Team, *, stop_at: int | None = None, pause_at: int | None = None) -> dict[str, Any]:
    """Where a fit of four epochs ends; a stop, a pause and scores are known to the leader only."""
    learner, events = learner_for(team), []
    at = Position()

    def only_leader(answer: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            assert team.is_leader
            return answer(*args)

        return team.led(call)

    def keep(position: Position) -> None:
        if position.step == pause_at:
            raise Paused

    def validate(epoch: int) -> Evaluation:
        return scored(0.5, 1.0)  # the first epoch is the best: patience ends it two epochs later

    def hear(event: Event) -> None:
        events.append(event)

    how = "ended"
    try:
        learner.fit_one_cycle(
            Minibatches(),  # pyright: ignore[reportArgumentType]
            only_leader(validate),
            epochs=4,
            schedule=lambda step, total: (0.01, 0.9),
            on_event=hear,
            should_stop=only_leader(lambda: at.step == stop_at),
            keep=only_leader(keep),
            position=at,
            patience=2,
        )
    except Paused:
        how = "paused"
    except SystemExit as ending:
        how = f"left with {ending.code}"
    return {"step": at.step, "epoch": at.epoch, "how": how, "steps": [e.step for e in events if isinstance(e, Batch)]}


def answers(team: Team) -> dict[str, Any]:
    """Everything that is asked, by name."""
    return {
        **{name: trained(team, **options) for name, options in SCENARIOS.items()},
        "skipping": skipping(team),
        "patience": fitted(team),
        "stop": fitted(team, stop_at=4),
        "pause": fitted(team, pause_at=5),
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    with open_team(CPU) as team:
        Path(sys.argv[1]).write_text(json.dumps(answers(team)))
    os._exit(0)  # as worker.py does: gloo's threads can abort the interpreter on its way out
