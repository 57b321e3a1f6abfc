"""Results says what a run is worth and starts the next one; what a note said and holds no more has no button."""

import json
import re
import shutil
from pathlib import Path

from playwright.sync_api import expect

from tests import tiny
from unetlab.files import write_json
from unetlab.runs.status import write_status
from unetlab.runs.store import Run, list_runs
from unetlab.workspace import open_workspace

NOTE = {
    "type": "note",
    "message": "The model predicts “background” for every pixel.\nThe rate is too high.\nLower it.",
    "about": {"code": "black-mask", "cause": "learning-rate", "changes": {"train.max_lr": 0.001}, "page": None},
    "attempt": 1,
}


def with_a_note_that_holds_no_more(run: Run) -> None:
    """The run as one whose first epoch was black and whose second was not, of a version that takes nothing back."""
    path = run.folder / "events.jsonl"
    events = [json.loads(line) for line in path.read_text().splitlines()]
    first, second = (event for event in events if event["type"] == "epoch")
    first["dice"], second["dice"] = ({"background": 0.9, "foreground": dice} for dice in (0.0, 0.6))
    events.insert(events.index(first), NOTE | {"time": first["time"] - 0.01})
    path.write_text("".join(json.dumps(event) + "\n" for event in events))


def test_a_verdict_starts_the_next_run_and_a_note_that_holds_no_more_has_no_button(server, new_page, trained):
    run = tiny.copy_trained(trained, server.home)
    evaluation = run.read("evaluation.json")
    valid = evaluation["valid"] | {"mean_dice": 0.5, "pixel_accuracy": 0.95}
    write_json(run.folder / "evaluation.json", evaluation | {"valid": valid})
    with_a_note_that_holds_no_more(run)
    stopped = Run(Path(shutil.copytree(run.folder, run.folder.with_name(f"{run.id}-stopped"))))
    write_status(stopped.folder, stopped.status.model_copy(update={"state": "stopped"}))

    page = new_page()
    page.goto(f"{server.url}/train?run={stopped.id}")
    gone = "Epoch 1: The model predicts “background” for every pixel; gone since epoch 2."
    expect(page.get_by_text(gone)).to_be_visible()
    expect(page.get_by_role("button", name="Train with these changes")).to_have_count(0)

    page.goto(f"{server.url}/results?run={run.id}")
    expect(page.get_by_role("heading", name=re.compile(r"\d+ steps are too few"))).to_be_visible()
    expect(page.get_by_text("Next run: epochs 2 → 200")).to_be_visible()
    page.get_by_role("button", name="Train with these changes").click()
    expect(page.get_by_role("heading", level=1, name="Train")).to_be_visible()
    trainings = list_runs(open_workspace(server.home), kind="train")
    (new,) = (each for each in trainings if each.id not in (run.id, stopped.id))
    expect(page).to_have_url(re.compile(f"/train.*run={new.id}"))
    assert (new.config.train.epochs, new.config.form_from) == (200, run.id)
    expect(page.get_by_text("running").first).to_be_visible(timeout=60_000)
