"""The command line: starts and follows the same workers as the pages. No torch here.

Prints readable text, or one JSON object with --json; errors go to standard error.
"""

from typing import Annotated

import typer

from unetlab import lr_curve
from unetlab.cli_app import start_page
from unetlab.cli_data import Json, data_app
from unetlab.cli_runs import runs_app
from unetlab.config import RunConfig, about, is_same_problem, option_fields, parse_rate, parse_settings
from unetlab.console import (
    error_value,
    exit_for,
    follow,
    forecast_lines,
    forecast_result,
    lr_lines,
    lr_result,
    show,
    show_error,
    train_lines,
    train_result,
)
from unetlab.data import samples
from unetlab.data.dataset import open_dataset
from unetlab.errors import ConfigError, RunError
from unetlab.files import size_text
from unetlab.option_reference import options_reference
from unetlab.runs import freeing, jobs, launching, queue, store
from unetlab.runs.store import Run, open_run
from unetlab.workspace import Workspace, own_workspace

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
app.add_typer(data_app, name="data")
app.add_typer(runs_app, name="runs")
app.command("app", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(start_page)

Settings = Annotated[
    list[str],
    typer.Option(
        "--set", help="An option such as model.depth=4; may be given several times. `unetlab options` lists all."
    ),
]
From = Annotated[str | None, typer.Option("--from", help="Take all options from this run, then apply --set.")]
LR = Annotated[str | None, typer.Option("--lr", help=f"{', '.join(lr_curve.PICKS)}, or a number such as 1e-3.")]
Devices = Annotated[
    int | None, typer.Option(min=1, help="Processes that share each step, one per GPU; on a CPU they share its cores.")
]
SyncBatchNorm = Annotated[
    bool | None, typer.Option(help="Compute BatchNorm's statistics over the pictures of all devices. CUDA only.")
]
Prepare = Annotated[bool, typer.Option("--prepare", help="Create the run and print its folder; you start torchrun.")]


@app.command()
def demo(json: Json = False) -> None:
    """The whole workflow on the built-in sample: learning-rate sweep, training, an overlay picture."""
    workspace = own_workspace()
    manifest = samples.create_sample(workspace)
    swept = _sweep_first(workspace, RunConfig(kind="lr_find", dataset=manifest.name), as_json=json)
    config = swept.config.changed({}, kind="train")
    run = jobs.train_behind(swept, config, pick=lr_curve.PRESELECTED, name="demo")
    status = follow(run)
    overlay = run.folder / "overlay.jpg"
    result = {"lr_find": lr_result(swept), "train": train_result(run), "overlay": str(overlay)}
    show(result, [*lr_lines(swept), *train_lines(run), f"overlay: {overlay}"], as_json=json)
    exit_for(status)


@app.command("lr-find")
def lr_find(dataset: str, from_run: From = None, settings: Settings = [], json: Json = False) -> None:
    """Sweep the learning rate and name the picks."""
    workspace = own_workspace()
    run = jobs.start(workspace, _config(workspace, "lr_find", dataset, from_run, settings))
    status = follow(run)
    show(lr_result(run), lr_lines(run), as_json=json)
    exit_for(status)


@app.command()
def train(
    dataset: str,
    lr: LR = None,
    from_run: From = None,
    settings: Settings = [],
    name: str = "",
    devices: Devices = None,
    sync_batchnorm: SyncBatchNorm = None,
    prepare: Prepare = False,
    json: Json = False,
) -> None:
    """Train a U-Net. If --lr names a pick, it comes from --from or the latest sweep, or a sweep runs first."""
    workspace = own_workspace()
    config = _config(workspace, "train", dataset, from_run, settings)
    shared = {"devices": devices, "sync_batchnorm": sync_batchnorm}
    config = config.changed({}, **{key: value for key, value in shared.items() if value is not None})
    if lr in lr_curve.PICKS:
        source = open_run(workspace, from_run) if from_run else None
        if source is None or source.config.kind != "lr_find":
            sweep = config.changed({}, kind="lr_find")
            source = _latest_sweep(workspace, config) or _sweep_first(workspace, sweep, as_json=json)
        config = _with_lr(config, source, lr)
    elif lr is not None:
        config = config.changed({"train.max_lr": parse_rate(lr)}, lr_from=None, lr_source="typed")
    if prepare:
        run = launching.prepare(workspace, config, name=name)
        show({"run": run.id, "folder": str(run.folder)}, [f"{run.folder}"], as_json=json)
        return
    run = jobs.start(workspace, config, name=name)
    status = follow(run)
    show(train_result(run), train_lines(run), as_json=json)
    exit_for(status)


@app.command()
def evaluate(run_id: Annotated[str, typer.Argument(metavar="RUN")], json: Json = False) -> None:
    """Score a run's best weights on the validation set again."""
    parent = open_run(own_workspace(), run_id)
    run = jobs.start(parent.workspace, parent.config.changed({}, kind="evaluate", weights_from={"run": parent.id}))
    status = follow(run)
    show(train_result(run), train_lines(run), as_json=json)
    exit_for(status)


@app.command()
def forecast(dataset: str, from_run: From = None, settings: Settings = [], json: Json = False) -> None:
    """Device memory that a training run would need, and the largest batch that fits. Nothing is trained."""
    workspace = own_workspace()
    run = jobs.start(workspace, _config(workspace, "forecast", dataset, from_run, settings))
    status = follow(run)
    show(forecast_result(run), forecast_lines(run), as_json=json)
    exit_for(status)


@app.command("options")
def list_options(json: Json = False) -> None:
    """Every option for --set: default, allowed values, pages that show it, what it changes."""
    options = {
        key: {"label": field.title, "default": field.default, **vars(about(key)), "help": field.description}
        for key, field in option_fields().items()
    }
    show({"options": options}, [options_reference()], as_json=json)


@app.command()
def free(
    release: Annotated[bool, typer.Option("--release", help="Resume the queue instead.")] = False,
    json: Json = False,
) -> None:
    """End all workers of this workspace, pause the queue, and show how much memory came back."""
    workspace = own_workspace()
    if release:
        started = [run.id for run in freeing.release(workspace)]
        show(
            {"released": started},
            [f"The queue is resumed; {len(started)} waiting run(s) have a worker again."],
            as_json=json,
        )
        return
    receipt = freeing.free_memory(workspace)
    rows = [vars(row) for row in receipt.processes]
    before, after = [vars(memory) for memory in receipt.before], [vars(memory) for memory in receipt.after]
    content = {"processes": rows, "before": before, "after": after, "is_complete": receipt.is_complete}
    lines = [
        f"{r['run']} (pid {r['pid']}): {size_text(r['ram_before'])} -> {size_text(r['ram_after'])}, {r['state']}"
        for r in rows
    ] or ["No worker of this workspace was running."]
    lines += [
        f"{a.label}: {size_text(b.used)} -> {size_text(a.used)} used of {size_text(a.total)}"
        for b, a in zip(receipt.before, receipt.after, strict=True)
    ]
    if queue.read_queue(workspace).is_held:
        lines.append("Runs are waiting, so the queue is paused. Resume it with: python -m unetlab free --release")
    stuck = "" if receipt.is_complete else "A worker did not end. See it with: ps -ef | grep unetlab.worker"
    show(content | (error_value("run-error", stuck) if stuck else {}), lines, as_json=json)
    if stuck:
        show_error("run-error", stuck, as_json=False)
        raise typer.Exit(2)


def _config(workspace: Workspace, kind: str, dataset: str, from_run: str | None, settings: list[str]) -> RunConfig:
    open_dataset(workspace, dataset)  # raises before a worker is started
    base = open_run(workspace, from_run).config if from_run else RunConfig(kind="train", dataset=dataset)
    return base.changed(parse_settings(settings), kind=kind, dataset=dataset, form_from=from_run)


def _sweep_first(workspace: Workspace, config: RunConfig, *, as_json: bool) -> Run:
    """Runs a sweep before training and returns it. Raises RunError if it was stopped: then nothing is trained."""
    run = jobs.start(workspace, config)
    status = follow(run)
    exit_for(status, as_json=as_json)
    if status.state == "stopped":
        raise RunError(f"The sweep {run.id} was stopped, so nothing is trained. Its curve so far is kept.")
    return run


def _latest_sweep(workspace: Workspace, config: RunConfig) -> Run | None:
    """The newest finished sweep of the same data, model and training options (the rate itself and epochs aside)."""
    for run in store.list_runs(workspace, dataset=config.dataset, kind="lr_find"):
        if run.status.state == "finished" and is_same_problem(run.config, config):
            return run
    return None


def _with_lr(config: RunConfig, sweep: Run, name: str) -> RunConfig:
    """`config` with the sweep's pick called `name` as its rate. Raises ConfigError when that is declined."""
    result = lr_result(sweep)
    if result["picks"].get(name) is None:
        raise ConfigError(f"The sweep {sweep.id} has no {name}: {result['declined'].get(name, 'it has no curve')}")
    rate = result["picks"][name]
    return config.with_pick(sweep.id, name, rate)
