"""The kinds of job that need torch; called by worker.py. Everything they write goes into the run folder."""

from typing import Protocol

from unetlab.config import RunConfig
from unetlab.runs.store import Run
from unetlab.training.augmentation_preview import preview
from unetlab.training.evaluate_job import evaluate_run
from unetlab.training.forecast import forecast
from unetlab.training.setup import OnEvent, ShouldStop
from unetlab.training.sweep_job import find_lr
from unetlab.training.threads import with_own_threads
from unetlab.training.train_job import train
from unetlab.training.warming import size_with_torch, warm_up

__all__ = ["JOBS", "size_with_torch", "warm_up"]


class Job(Protocol):
    """The function of every kind of job: takes the device's name and returns whether it was stopped."""

    def __call__(
        self, run: Run, config: RunConfig, device: str, *, on_event: OnEvent, should_stop: ShouldStop
    ) -> bool: ...


JOBS: dict[str, Job] = {
    "lr_find": with_own_threads(find_lr),
    "train": with_own_threads(train),
    "evaluate": with_own_threads(evaluate_run),
    "preview": preview,
    "forecast": forecast,
}
