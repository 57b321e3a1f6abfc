"""What the command line tells of a run while it follows it and afterwards. Oracle: what the run says of itself."""

import json
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from tests import tiny
from unetlab import console
from unetlab.events import Note
from unetlab.runs import queue
from unetlab.runs.status import Status, StatusKeeper, write_status
from unetlab.runs.store import EventWriter, Run
from unetlab.workspace import own_workspace

ALARM = Note("The model predicts one class.\nTrain longer.", about={"code": "black-mask", "changes": {}})
EARLY = Note("Ended early: no better mean Dice in 2 epochs.")


def write_notes(run: Run) -> None:
    writer = EventWriter(run, attempt=1)
    for note in (ALARM, EARLY):
        writer.write(note)
    writer.close()


def followed(run: Run, *steps: Callable[[], None]) -> None:
    """Follows a run that does the steps, a look of the follower apart, and then ends."""

    def go_on() -> None:
        for step in steps:
            step()
            threading.Event().wait(3 * console.POLL_S)
        StatusKeeper(run.folder).end("finished")

    worker = threading.Thread(target=go_on)
    worker.start()
    console.follow(run)
    worker.join()


def test_notes_are_in_the_json_and_in_the_text_of_a_run(tiny_set: Path):
    run = tiny.waiting_run()
    assert console.train_result(run)["notes"] == []
    write_notes(run)
    told = console.train_result(run)["notes"]
    assert [(note["message"], note["about"]) for note in told] == [(n.message, n.about) for n in (ALARM, EARLY)]
    assert console.lr_result(run)["notes"] == told
    text = "\n".join(console.train_lines(run))
    assert "note: The model predicts one class.\n        Train longer." in text
    assert "note: Ended early: no better mean Dice in 2 epochs." in text


def test_notes_are_told_at_a_terminal_as_they_come(
    tiny_set: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    run = tiny.waiting_run()
    followed(run, lambda: write_notes(run))
    said = capsys.readouterr().err
    assert "Train longer." in said
    assert "Ended early" in said


def test_a_follower_without_a_terminal_says_once_what_the_run_waits_for(tiny_set: Path, capsys: pytest.CaptureFixture):
    first, run = tiny.waiting_run(), tiny.waiting_run()
    for other in (first, run):
        queue.join(other, "cpu")

    def wait_in_line() -> None:
        write_status(run.folder, run.status.model_copy(update={"phase": "waiting for the device"}))

    followed(
        run,
        wait_in_line,
        lambda: queue.leave(first),
        lambda: queue.hold(own_workspace()),
    )
    start = f"{run.id} is waiting since {time.strftime('%H:%M', time.localtime(run.status.created))} for "
    assert capsys.readouterr().err.splitlines() == [
        f"{start}1 run before it in the queue.",
        f"{start}another workspace.",
        f"{run.id} waits: the queue is paused. Resume it with: python -m unetlab free --release",
    ]


def test_a_run_whose_worker_is_only_starting_waits_for_nothing(tiny_set: Path, capsys: pytest.CaptureFixture):
    followed(tiny.waiting_run(), lambda: None)
    assert capsys.readouterr().err == ""


def test_a_sweep_that_fails_before_a_training_says_why_in_the_one_object(tiny_set: Path, capsys: pytest.CaptureFixture):
    for status, code, printed in (("failed", 2, "failed"), ("lost", 2, "lost"), ("failed", 1, "bug")):
        ended = Status(state=status, created=0.0, device="cpu", reason="No.\nNo again.", is_bug=code == 1)
        with pytest.raises(typer.Exit) as left:
            console.exit_for(ended, as_json=True)
        said = capsys.readouterr()
        assert (left.value.exit_code, said.err) == (code, "No.\nNo again.\n")
        error = {"code": printed, "message": "No.\nNo again.", "problems": ["No.", "No again."]}
        assert json.loads(said.out) == {"error": error}
    with pytest.raises(typer.Exit):
        console.exit_for(ended)
    assert capsys.readouterr().out == ""
