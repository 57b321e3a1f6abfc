"""The learning rate of a training run queued behind its sweep, read from the sweep's curve when the run starts."""

from unetlab.config import LRFrom, RunConfig
from unetlab.errors import ConfigError, RunError
from unetlab.runs.store import Run, list_runs

ENDS = {"failed": "failed", "stopped": "was stopped", "lost": "crashed", "deleted": "was deleted"}
SECOND = len("2026-11-30T11-52-00")  # the time at the start of an id
AGAIN = "Sweep again, or train with a rate of your own."


def is_stopped(config: RunConfig, run: Run) -> bool:
    """Whether the sweep that should have given the rate was stopped: then nothing is trained."""
    source = config.lr_from
    status = (_sweep_of(run, source).read("status.json") or {}) if source and source.lr is None else {}
    return status.get("state") == "stopped"


def was_swept(run: Run) -> bool:
    """Whether its rate can have come from a sweep: it names one, or one of its set, size and model is older."""
    config = run.config
    if config.lr_from is not None:
        return True
    sweeps = list_runs(run.workspace, dataset=config.dataset, kind="lr_find")
    older = [sweep for sweep in sweeps if sweep.id[:SECOND] <= run.id[:SECOND]]
    return any(sweep.status.state == "finished" and _is_alike(sweep, config) for sweep in older)


def _is_alike(sweep: Run, config: RunConfig) -> bool:
    """Whether it swept the same model at the same size."""
    try:
        swept = sweep.config
    except ConfigError:  # of a newer version
        return False
    return (swept.data, swept.model) == (config.data, config.model)


def resolved(config: RunConfig, run: Run) -> RunConfig:
    """`config` with the rate that its sweep has found, if that was open; otherwise unchanged.

    A pick that was declined, or that comes with a caution, gives way to the next in the sweep's order of preference.
    Raises RunError for a sweep that failed, was stopped or deleted, and for one that left none.
    """
    source = config.lr_from
    if source is None or source.lr is not None:
        return config
    sweep = _sweep_of(run, source)
    words = named(sweep)
    state, curve = (sweep.read("status.json") or {}).get("state", "deleted"), sweep.read("lr_curve.json") or {}
    if state != "finished":
        raise RunError(
            f"{_capital(words)} should have given the learning rate, but it {ENDS.get(state, f'is {state}')}. {AGAIN}"
        )
    rates = {name: pick["lr"] for name, pick in curve.get("picks", {}).items() if pick}
    if not rates:
        reasons = " ".join(dict.fromkeys(curve.get("declined", {}).values()))
        raise RunError(f"{_capital(words)} gave no learning rate: every pick is declined. {reasons} {AGAIN}")
    names = [name for name in (source.pick, *curve.get("preference", ()), *rates) if name in rates]
    cautions = curve.get("cautions", {})
    pick = next((name for name in names if name not in cautions), None)
    if pick is None:
        raise RunError(f"No pick of {words} can be trusted. {cautions[names[0]]} {AGAIN}")
    return config.with_pick(source.sweep, pick, rates[pick])


def named(sweep: Run) -> str:
    """As part of a sentence: "the sweep of 05-04 10:12", or with its name; also of one that was deleted."""
    return f"the sweep {sweep.notes.name or f'of {sweep.when}'}"


def _capital(words: str) -> str:
    return words[0].upper() + words[1:]


def _sweep_of(run: Run, source: LRFrom) -> Run:
    return Run(run.workspace.runs / source.sweep)
