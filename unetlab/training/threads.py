"""The number of CPU threads: measured once for a run, then kept, since losses differ in their last bits with it.

With another busy program on two cores, two threads that wait for each other took 3.8 times as long as alone, a single
one twice as long (docs/experiments.md, "Threads"). So `auto` tries both on the run's own network.
"""

import functools
import statistics
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import torch

from unetlab.config import RunConfig
from unetlab.events import SLOW_STEPS, Note
from unetlab.runs import jobs
from unetlab.runs.store import Run
from unetlab.training.alarm import without_a_trace
from unetlab.training.batches import TrainingBatches
from unetlab.training.learner import Learner

ALL = torch.get_num_threads()  # what torch starts with: the cores, or OMP_NUM_THREADS
PICTURES = 2  # enough for all threads to have work
CLEARLY = 1.3  # ours: where one takes so many times as long as the other, they are not timed again
PAUSE_S = 1.0  # before a second look: what drew the page of the click has ended by then
MANY, SLOWER = 10, 2.0  # steps on either side, and how many times as long the later ones take


def with_own_threads(job: Callable[..., bool]) -> Callable[..., bool]:
    """The job, after which torch has as many threads as before: a warm worker does other jobs later."""

    @functools.wraps(job)
    def call(*args: Any, **options: Any) -> bool:
        before = torch.get_num_threads()
        try:
            return job(*args, **options)
        finally:
            torch.set_num_threads(before)

    return call


def known(run: Run, config: RunConfig) -> int | None:
    """The number that is settled without measuring, or None.

    One if a person asked for that; else the number of an earlier attempt, the option, or the number of the run whose
    rate or weights this one takes.
    """
    if jobs.has_one_thread(run):
        return 1
    if before := (run.read("environment.json") or {}).get("threads"):
        return before
    if config.train.threads != "auto":
        return config.train.threads
    for name in (config.lr_from and config.lr_from.sweep, config.weights_from and config.weights_from.run):
        if name and (first := (Run(run.workspace.runs / name).read("environment.json") or {}).get("threads")):
            return first
    return None


def fastest(learner: Learner, batches: TrainingBatches) -> int:
    """All threads or a single one, whichever predicts two pictures of the first minibatch in less time.

    One thread must win twice, a second apart. Nothing is left behind. A forward pass: beside a busy process a whole
    step with all threads can take seconds, and comes to the same.
    """
    if ALL == 1 or learner.device.type != "cpu":
        return ALL
    images = next(batches.epoch(0))[0][:PICTURES]

    def seconds(threads: int) -> float:
        torch.set_num_threads(threads)
        began = time.perf_counter()
        learner.model(images)
        return time.perf_counter() - began

    def is_one_faster() -> bool:
        taken = [(seconds(ALL), seconds(1))]
        if 1 / CLEARLY < taken[0][1] / taken[0][0] < CLEARLY:
            taken += [(seconds(ALL), seconds(1)) for _ in range(2)]
        all_threads, one = (statistics.median(column) for column in zip(*taken, strict=True))
        return one < all_threads

    with without_a_trace(learner.model), torch.no_grad(), learner.autocast():
        for threads in (1, ALL):  # the first pass makes kernels
            seconds(threads)
        if not is_one_faster():
            return ALL
        time.sleep(PAUSE_S)
        return 1 if is_one_faster() else ALL


class Pace:
    """Times the steps of an attempt, and says once that they have become slow."""

    def __init__(self) -> None:
        self._first: list[float] = []
        self._last: deque[float] = deque(maxlen=MANY)
        self._began = 0.0
        self._is_told = False

    def begin(self) -> None:
        """A step begins now."""
        self._began = time.perf_counter()

    def end(self) -> tuple[float, float] | None:
        """A step has ended: (seconds a step took at first, takes now) the first time that is twice as long, or None."""
        seconds = time.perf_counter() - self._began
        if len(self._first) <= MANY:  # the very first step warms up
            self._first.append(seconds)
            return None
        self._last.append(seconds)
        usual, now = statistics.median(self._first[1:]), statistics.median(self._last)
        if self._is_told or len(self._last) < MANY or now <= SLOWER * usual:
            return None
        self._is_told = True
        return usual, now


def slow_steps(usual: float, now: float) -> Note:
    """What to tell a person whose steps took `usual` seconds at first and take `now`."""
    return Note(
        f"A step takes {now / usual:.1f} times as long as at first ({now:.2g} s, {usual:.2g} s): most likely another "
        "program is busy on this machine.\nThreads that wait for one another suffer most from that. With one thread "
        "the rest may go faster; its losses then differ in their last bits from those of an unbroken run.",
        about={"code": SLOW_STEPS},
    )
