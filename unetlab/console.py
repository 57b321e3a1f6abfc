"""What the command line shows: the progress of a run, results as text or JSON, the exit code."""

import json
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from unetlab import lr_curve
from unetlab.data.dataset import Manifest
from unetlab.data.labels.masks import Reading
from unetlab.data.names.name_words import SPLIT_WORDS
from unetlab.files import size_text
from unetlab.runs import devices, jobs, launching, queue
from unetlab.runs.status import Status
from unetlab.runs.store import Run, read_events, score_text
from unetlab.train_options import BEST_BY

POLL_S = 0.2
KEYS_OF_THEIR_OWN = ("image-without-mask", "mask-without-image", "ignored-files")  # in the JSON beside `problems`


def follow(run: Run) -> Status:
    """Waits until the run has ended and returns its last status. The first Ctrl-C asks it to stop, the second kills.

    At a terminal it draws a bar; elsewhere it only says what the run waits for, once for each thing.
    """
    presses: list[int] = []
    # counted, not raised: a second Ctrl-C may come while the first is being answered
    previous = signal.signal(signal.SIGINT, lambda signum, frame: presses.append(signum))
    num_answered, offset, said = 0, 0, ""
    try:
        with _bar() as bar:
            task = bar.add_task("starting", total=None)
            while (status := run.status).is_live:
                bar.update(task, description=_describe(run, status), completed=status.done, total=status.total or None)
                waits = "" if sys.stderr.isatty() else _waits(run, status)
                if waits and waits != said:
                    said = waits
                    print(waits, file=sys.stderr, flush=True)
                events, offset = read_events(run, offset)
                for event in events:
                    if sys.stderr.isatty() and (line := _told(run, event)):
                        bar.console.print(line, markup=False, highlight=False)
                if len(presses) > num_answered:
                    num_answered += 1
                    _answer(run, num_answered, bar.console)
                launching.reap()
                launching.rescue(run.workspace)
                jobs.insist(run)
                time.sleep(POLL_S)
        return status
    finally:
        signal.signal(signal.SIGINT, previous)


def _answer(run: Run, press: int, console: Console) -> None:
    if press > 1:
        jobs.kill(run)
    elif run.status.is_live:
        jobs.stop(run)
        what = "Cancelling" if run.status.device == devices.LANE else "Stopping: the model is kept"
        console.print(f"{what}. Press Ctrl-C again to end it at once.")


def _describe(run: Run, status: Status) -> str:
    if status.state != "queued":
        return status.phase or status.state
    if status.device == devices.LANE:
        return "starting"
    if queue.read_queue(run.workspace).is_held:
        return "waiting: the queue is paused (python -m unetlab free --release)"
    return f"waiting for {status.device} ({queue.position(run)} before it)"


def _waits(run: Run, status: Status) -> str:
    """What a queued run waits for, as a sentence; empty while its worker is only starting."""
    if status.state != "queued" or status.device == devices.LANE:
        return ""
    if queue.read_queue(run.workspace).is_held:
        return f"{run.id} waits: the queue is paused. Resume it with: python -m unetlab free --release"
    is_waiting = status.is_parked or status.phase  # a worker that waits for its turn says so as its phase
    return f"{run.id} is {jobs.waits_for(run, status)}." if is_waiting else ""


def _told(run: Run, event: dict[str, Any]) -> str | None:
    """What a person at a terminal is told of an event while the run goes on."""
    if event["type"] == "note":
        return event["message"]
    if event["type"] != "epoch":
        return None
    dice = score_text(event["mean_dice"])
    best = f"  {BEST_BY[run.config.train.best_score]} so far" if event["is_best"] else ""
    loss = "none" if event["valid_loss"] is None else f"{event['valid_loss']:.3f}"
    other = event.get("running_mean_dice")
    running = "" if other is None else f" ({score_text(other)} with running statistics)"
    return f"epoch {event['epoch'] + 1}: validation loss {loss}, mean Dice {dice}{running}{best}"


@contextmanager
def import_progress() -> Iterator[Callable[[str, int, int], None]]:
    """A progress bar for an import, as the callable (phase, done, total) that it takes; silent without a terminal."""
    with _bar() as bar:
        task = bar.add_task("starting", total=None)
        yield lambda phase, done, total: bar.update(task, description=phase, completed=done, total=total)


def _bar() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True)


def show(value: dict[str, Any], lines: list[str], *, as_json: bool) -> None:
    """One JSON object, or the lines for people, on standard output."""
    print(json.dumps(value, indent=1, allow_nan=False) if as_json else "\n".join(lines))


def manifest_value(manifest: Manifest) -> dict[str, Any]:
    """The JSON of `data import` and `data check`. `problems` need attention, `notes` do not."""

    def told(severities: tuple[str, ...]) -> list[dict[str, Any]]:
        found = [f for f in manifest.findings if f.severity in severities and f.code not in KEYS_OF_THEIR_OWN]
        return [{"file": (finding.files or [""])[0], **finding.model_dump(exclude={"fixes"})} for finding in found]

    return {
        "name": manifest.name,
        "version": manifest.version,
        "num_pairs": len(manifest.pairs),
        "classes": [{"id": entry.id, "name": entry.name, "pixels": entry.pixels} for entry in manifest.classes],
        "reading": manifest.reading.key if manifest.reading else None,
        "layout": manifest.layout,
        "problems": told(("error", "warning")),
        "notes": told(("info",)),
        "decisions": manifest.decisions,
        "choices": manifest.choices.model_dump(mode="json"),
        "unmatched_images": manifest.unmatched_images,
        "unmatched_masks": manifest.unmatched_masks,
        "ignored_files": manifest.ignored_files,
        "pairs": [pair.model_dump(include={"name", "image", "mask", "matched_by", "split"}) for pair in manifest.pairs],
    }


def show_manifest(
    manifest: Manifest, *, as_json: bool, others: Sequence[Reading] = (), changed: Sequence[str] | None = None
) -> None:
    """What a data set holds, what was decided and what may be wrong with it.

    others: every reading that fits the masks. changed: originals that have changed since the import.
    """
    total = sum(entry.pixels for entry in manifest.classes) or 1
    splits = [pair.split for pair in manifest.pairs]
    counts = ", ".join(f"{splits.count(split)} {split}" for split in SPLIT_WORDS if split in splits)
    lines = [f"{manifest.name}: {len(manifest.pairs)} pairs ({counts}), {len(manifest.classes)} classes"]
    for entry in manifest.classes:
        role = "  (background, not in the mean scores)" if entry.is_background else ""
        lines.append(f"  {entry.id:3} {entry.name:20} {entry.pixels / total:6.1%} of the pixels{role}")
    lines += [f"- {decision}" for decision in manifest.decisions]
    for finding in manifest.findings:
        lines.append(f"{finding.severity}: {' '.join(filter(None, (finding.message, finding.effect, finding.advice)))}")
        if finding.code == "reading" and not others:
            lines += [f"  --reading {fix.change['reading']['key']:<14} {fix.label}" for fix in finding.fixes]
    value = manifest_value(manifest)
    if others:
        value["readings"] = [{"key": other.key, "meaning": other.meaning} for other in others]
        lines += ["The masks can be read as:", *(f"  --reading {other.key:<14} {other.meaning}" for other in others)]
    if changed is not None:
        value["changed_files"] = list(changed)
    if changed:
        lines.append(f"warning: {len(changed)} files have changed since the import: {', '.join(changed[:5])}")
    show(value, lines, as_json=as_json)


def lr_result(run: Run) -> dict[str, Any]:
    """The JSON of `lr-find`: a declined pick is null, its reason under `declined`."""
    curve = run.read("lr_curve.json") or {"picks": {}, "declined": {}}
    picks = {name: (curve["picks"].get(name) or {}).get("lr") for name in lr_curve.PICKS}
    return {**_outcome(run), "picks": picks, "declined": curve["declined"]}


def lr_lines(run: Run) -> list[str]:
    """The picks of a sweep with their spread, or why there is none."""
    curve, lines = run.read("lr_curve.json"), [f"{run.id}: {run.status.state}"]
    for name, definition in lr_curve.PICKS.items() if curve else ():
        if name not in curve["picks"]:
            continue  # a sweep of an earlier version
        pick, rates = curve["picks"][name], curve["spread"][name]
        spread = f" ({len(rates)} sweeps: {min(rates):.2g} to {max(rates):.2g})" if len(rates) > 1 else ""
        if interval := curve.get("intervals", {}).get(name):
            often = lr_curve.how_often(name)
            spread = f" ({often} another sweep gives {interval[0]:.2g} to {interval[1]:.2g})"
        found = f"{pick['lr']:.2e}{spread}" if pick else f"declined. {curve['declined'][name]}"
        lines += [f"  {name:22} {found}", f"  {'':22} {definition}"]
        lines += [f"  {'':22} {curve['cautions'][name]}"] if name in curve["cautions"] else []
    return lines


def train_result(run: Run) -> dict[str, Any]:
    """The JSON of `train` and `evaluate`; only run, status and notes when there is no result.

    best_epoch: whose weights are scored, from 1; `epochs`, its first name, stays. epochs_trained: steps over steps per
    epoch, not whole where a stop ended an epoch early; `evaluate` trains none. highest_lr: of the steps taken, while
    max_lr is the configured peak.
    """
    return {**_outcome(run), **(run.read("result.json") or {})}


def _outcome(run: Run) -> dict[str, Any]:
    status = run.status
    error = error_value(_code(status), status.reason) if status.state in ("failed", "lost") else {}
    return {"run": run.id, "status": status.state, "notes": notes_of(run), **error}


def notes_of(run: Run) -> list[dict[str, Any]]:
    """What the run said of itself, in order: {message, about, time}; `about` as in events.Note."""
    notes = [event for event in read_events(run)[0] if event["type"] == "note"]
    return [{"message": note["message"], "about": note.get("about") or {}, "time": note["time"]} for note in notes]


def train_lines(run: Run) -> list[str]:
    """The notes of a run, then its scores, each with what it means."""
    result, evaluation, lines = run.read("result.json"), run.read("evaluation.json"), [f"{run.id}: {run.status.state}"]
    lines += ["  note: " + note["message"].replace("\n", "\n        ") for note in notes_of(run)]
    if not result or not evaluation:
        return lines
    valid = result["valid"]
    epochs = f" of {result['epochs_trained']:g} trained" if result.get("epochs_trained") else ""
    highest = result.get("highest_lr")  # absent from results of older versions, None where nothing was trained
    rate = f"highest learning rate used {highest:.2e}" if highest else f"learning rate asked for {result['max_lr']:.2e}"
    lines += [
        f"  best epoch {result['epochs']}{epochs} ({BEST_BY[run.config.train.best_score]})",
        f"  {result['steps']} steps in {result['seconds']:.0f} s, {result['images_per_s']:.1f} pictures/s, {rate}",
    ]
    lines.append(f"  {len(evaluation['pictures'])} validation pictures, pixel counts pooled over them:")
    for name, dice, iou in (
        *((f"{name:20}", valid["dice"][name], valid["iou"][name]) for name in valid["dice"]),
        ("mean without background:", valid["mean_dice"], valid["mean_iou"]),
    ):
        lines.append(f"  {name} Dice {score_text(dice)}  IoU {score_text(iou)}")
    lines.append(
        f"  pixel accuracy {score_text(valid['pixel_accuracy'])} (baseline, largest class everywhere: "
        f"{score_text(evaluation['majority_share'])})"
    )
    return lines


def forecast_result(run: Run) -> dict[str, Any]:
    """The JSON of `forecast`, sizes in bytes (training/forecast.py); only its outcome when there is no result."""
    return {**_outcome(run), **(run.read("result.json") or {})}


def forecast_lines(run: Run) -> list[str]:
    """The peak memory a training run would need, the memory there is, and the largest batch that fits."""
    result, lines = run.read("result.json"), [f"{run.id}: {run.status.state}"]
    if not result:
        return lines
    size = {name: size_text(result[name]) for name in ("needs", "bytes", "outside", "free", "total")}
    verdict = "fits into" if result["needs"] <= result["free"] else "does not fit into"
    return [
        *lines,
        f"  needs about {size['needs']}, {verdict} the {size['free']} free of {size['total']} ({result['label']})",
        f"  {size['bytes']} of tensors at the peak of a step: "
        + ", ".join(f"{name} {size_text(part)}" for name, part in result["by"].items()),
        f"  {result['margin']:.0%} margin on top, and {size['outside']} that the process takes besides",
        f"  largest batch size that fits: {result['largest_batch'] or 'none'}",
    ]


def exit_for(status: Status, *, as_json: bool = False) -> None:
    """Ends the command with 2 for a failure the user can mend, with 1 for a bug of ours; says why on standard error.

    as_json: and on standard output, where nothing of the run was printed that says it.
    """
    if status.state in ("failed", "lost"):
        show_error(_code(status), status.reason, as_json=as_json)
        raise typer.Exit(1 if status.is_bug else 2)


def show_error(code: str, message: str, *, as_json: bool) -> None:
    """The message on standard error; as_json: also {"error": ...} as the one object on standard output."""
    if as_json:
        show(error_value(code, message), [], as_json=True)
    print(message, file=sys.stderr)


def error_value(code: str, message: str) -> dict[str, Any]:
    """The JSON of a refusal. code: a kind of UnetlabError, else "failed", "lost" or "bug"; problems: each reason."""
    return {"error": {"code": code, "message": message, "problems": message.splitlines()}}


def _code(status: Status) -> str:
    return "bug" if status.is_bug else status.state
