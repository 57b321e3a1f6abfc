"""`python -m unetlab runs ...`: list, show, stop, pause, resume, move, delete and restore runs. No torch here."""

from typing import Annotated

import typer

from unetlab.cli_data import Json
from unetlab.config import OVER_SOON
from unetlab.console import exit_for, follow, notes_of, show, train_lines, train_result
from unetlab.errors import RunError
from unetlab.files import size_text
from unetlab.runs import jobs, queue, store, trash
from unetlab.runs.store import open_run
from unetlab.workspace import own_workspace

runs_app = typer.Typer(no_args_is_help=True, help="Runs: list, show, stop, pause, resume, move, delete, restore.")


@runs_app.command("list")
def runs_list(
    live: Annotated[bool, typer.Option("--live", help="Only runs that wait or run, and how to stop them.")] = False,
    json: Json = False,
) -> None:
    """All runs, newest first."""
    workspace = own_workspace()
    runs = jobs.live_runs(workspace) if live else store.list_runs(workspace)
    rows = [store.summary(run) for run in runs]
    rows = [row for row in rows if row["kind"] not in OVER_SOON]
    lines = [
        f"{r['run']:48} {r['kind']:9} {r['status']:9} {store.score_text(r['mean_dice'])}  {r['name']}" for r in rows
    ]
    if live and lines:
        lines = ["These runs go on without the page:", *lines, "Stop one with: python -m unetlab runs stop RUN"]
    show({"runs": rows}, lines or ["Nothing is running." if live else "There is no run yet."], as_json=json)


@runs_app.command("show")
def runs_show(run_id: Annotated[str, typer.Argument(metavar="RUN")], json: Json = False) -> None:
    """State, configuration and result of one run."""
    run = open_run(own_workspace(), run_id)
    content = {**store.summary(run), "config": run.read("config.json"), "result": run.read("result.json")}
    content["notes"], status = notes_of(run), run.status
    lines = [f"{run.id}: {status.state} {status.reason}", *train_lines(run)]
    show(content, lines, as_json=json)


@runs_app.command("stop")
def runs_stop(run_id: Annotated[str, typer.Argument(metavar="RUN")], json: Json = False) -> None:
    """Ask a run to stop; it keeps a usable model."""
    run = open_run(own_workspace(), run_id)
    jobs.stop(run)
    status = follow(run)
    show({"run": run.id, "status": status.state, "reason": status.reason}, [f"{run.id}: {status.state}"], as_json=json)


@runs_app.command("pause")
def runs_pause(run_id: Annotated[str, typer.Argument(metavar="RUN")], json: Json = False) -> None:
    """Ask a training run to write a checkpoint and end; `runs resume` continues from it, bit for bit on a CPU."""
    run = open_run(own_workspace(), run_id)
    jobs.pause(run)
    status = follow(run)
    show({"run": run.id, "status": status.state, "reason": status.reason}, [f"{run.id}: {status.state}"], as_json=json)


@runs_app.command("resume")
def runs_resume(
    run_id: Annotated[str, typer.Argument(metavar="RUN")],
    micro_batch: Annotated[
        int | None, typer.Option(min=1, help="Pictures at a time from now on, if memory was too small.")
    ] = None,
    one_thread: Annotated[
        bool, typer.Option("--one-thread", help="One CPU thread from now on, if another program is busy.")
    ] = False,
    json: Json = False,
) -> None:
    """Continue a paused, stopped, failed or lost training run from its checkpoint, and follow it."""
    run = open_run(own_workspace(), run_id)
    jobs.resume(run, micro_batch=micro_batch, one_thread=one_thread)
    status = follow(run)
    show(train_result(run), train_lines(run), as_json=json)
    exit_for(status)


@runs_app.command("move")
def runs_move(
    run_id: Annotated[str, typer.Argument(metavar="RUN")],
    place: Annotated[queue.Place, typer.Argument(help="To the front of the queue, or past one neighbour.")],
    json: Json = False,
) -> None:
    """Move a run that waits for its device within the queue."""
    run = open_run(own_workspace(), run_id)
    queue.move(run, place)
    line = queue.line_of(run)
    lines = [f"{number}. {waiting}" for number, waiting in enumerate(line, 1)]
    show({"run": run.id, "order": line}, lines, as_json=json)


@runs_app.command("delete")
def runs_delete(run_id: Annotated[str, typer.Argument(metavar="RUN")], json: Json = False) -> None:
    """Move a run that has ended, with its weights, to the trash, which keeps it for a week."""
    run = open_run(own_workspace(), run_id)
    trash.delete([run])
    back = f"For {trash.KEPT_DAYS} days it can be brought back with: python -m unetlab runs restore {run.id}"
    show({"run": run.id, "deleted": True}, [f"{run.id}: deleted. {back}"], as_json=json)


@runs_app.command("restore")
def runs_restore(run_id: Annotated[str, typer.Argument(metavar="RUN")], json: Json = False) -> None:
    """Bring a deleted run back from the trash, with all it held."""
    if not trash.restore(own_workspace(), [run_id]):
        raise RunError(f"There is no run {run_id!r} in the trash.")
    show({"run": run_id, "restored": True}, [f"{run_id}: restored"], as_json=json)


@runs_app.command("empty-trash")
def runs_empty_trash(json: Json = False) -> None:
    """Delete all runs in the trash for good."""
    workspace = own_workspace()
    found = trash.deletions(workspace)
    runs, size = [run for deletion in found for run in deletion.runs], sum(deletion.size for deletion in found)
    trash.empty(workspace)
    show({"runs": runs, "bytes": size}, [f"{len(runs)} deleted for good, {size_text(size)}"], as_json=json)
