"""The job `lr_find`: sweeps of the learning rate, and the picks from their mean curve."""

from unetlab.config import RunConfig
from unetlab.events import Batch, Event, Progress
from unetlab.runs.store import Run
from unetlab.training import lr_finder
from unetlab.training.artifacts import write_lr_curve
from unetlab.training.setup import OnEvent, ShouldStop, set_up


def find_lr(run: Run, config: RunConfig, device: str, *, on_event: OnEvent, should_stop: ShouldStop) -> bool:
    """Sweeps, and writes lr_curve.json: every sweep, the picks of their mean curve, the spread over repeats."""
    setup = set_up(run, config, device, on_event)
    sweeps, total_steps = [], config.lr_find.num_steps * config.lr_find.repeats

    def follow(event: Event) -> None:
        if isinstance(event, Batch):
            on_event(Progress("sweeping", event.step + 1, total_steps))
        on_event(event)

    for repeat in range(config.lr_find.repeats):
        sweep = lr_finder.sweep(
            setup.learner, setup.batches, config.lr_find, repeat=repeat, on_event=follow, should_stop=should_stop
        )
        if sweep.lrs:
            sweeps.append(sweep)
        if should_stop():
            break
    write_lr_curve(run, sweeps)
    return should_stop()
