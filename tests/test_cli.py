"""`python -m unetlab`: the JSON that other programs rely on, and Ctrl-C. The keys are a promise: change none."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests import tiny
from unetlab import cli, lr_curve
from unetlab.config import LRFrom, RunConfig
from unetlab.data.dataset import open_dataset
from unetlab.errors import RunError
from unetlab.runs import freeing, jobs, queue, store
from unetlab.runs.store import Run
from unetlab.workspace import Workspace, own_workspace

IMPORT_KEYS = {"name", "num_pairs", "classes", "problems", "unmatched_images", "unmatched_masks", "ignored_files"}
TRAIN_KEYS = {"run", "status", "max_lr", "epochs", "steps", "seconds", "images_per_s", "valid"}
TRAIN_KEYS |= {"best_epoch", "epochs_trained", "highest_lr", "notes"}
VALID_KEYS = {"loss", "mean_dice", "mean_iou", "pixel_accuracy", "dice", "iou"}
PICKS = {"min_gradient", "min_loss_tenth", "valley", "min_gradient_no_lag", "min_loss_tenth_no_lag"}


def follow(*arguments: object) -> subprocess.Popen:
    """`python -m unetlab ... --json`, going on; Ctrl-C reaches it also where the tests themselves ignore it."""
    return subprocess.Popen(
        [sys.executable, "-m", "unetlab", *map(str, arguments), "--json"],
        cwd=tiny.ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def only_run(*, epochs: int) -> Run:
    """The one run of the workspace, once it has logged this many epochs."""
    tiny.wait_until(lambda: store.list_runs(own_workspace()), "a run")
    (run,) = store.list_runs(own_workspace())
    tiny.wait_until(lambda: len(tiny.of_type(run, "epoch")) >= epochs, f"{epochs} epochs")
    return run


def test_the_sample_is_made_checked_and_listed(workspace: Path):
    made = tiny.answer("data", "sample")
    assert made.keys() >= IMPORT_KEYS
    assert made["num_pairs"] >= 24
    assert [entry.keys() for entry in made["classes"]] == [{"id", "name", "pixels"}] * 2
    assert [(entry["id"], entry["name"]) for entry in made["classes"]] == [(0, "background"), (1, "nucleus")]
    checked = tiny.answer("data", "check", "sample")
    assert {key: checked[key] for key in made} == made
    (listed,) = tiny.answer("data", "list")["datasets"]
    assert (listed["name"], listed["num_pairs"], listed["num_classes"]) == ("sample", made["num_pairs"], 2)
    assert "synthetic" in listed["note"].lower()


def test_the_demo_trains_behind_its_sweep_so_that_a_pick_with_a_caution_gives_way(tiny_set: Path, monkeypatch):
    sweep, asked = tiny.finished_sweep(), []

    def start(workspace: Workspace, config: RunConfig, **_: object) -> Run:
        asked.append(config)
        raise RunError("That is enough.")

    monkeypatch.setattr(cli.samples, "create_sample", lambda workspace: open_dataset(workspace, tiny.NAME).manifest)
    monkeypatch.setattr(cli, "_sweep_first", lambda *_, **__: sweep)
    monkeypatch.setattr(cli.jobs, "start", start)
    assert "That is enough." in tiny.said("demo").stderr
    (config,) = asked
    assert (config.kind, config.lr_from) == ("train", LRFrom(sweep=sweep.id, pick=lr_curve.PRESELECTED))
    assert config.lr_from.lr is None, "read from the curve when the training starts: tests/runs/test_sweep_rate.py"


def test_an_import_reports_what_it_found(workspace: Path, tmp_path: Path):
    folder = tiny.write_pairs(tmp_path / "pairs", count=4)
    (folder / "readme.txt").write_text("about")
    (folder / "3_mask.png").rename(folder / "other_mask.png")
    report = tiny.answer("data", "import", folder, "--name", "cells")
    assert report.keys() >= IMPORT_KEYS
    assert (report["name"], report["num_pairs"], report["problems"]) == ("cells", 3, [])
    assert report["unmatched_images"] == ["3.png"]
    assert report["unmatched_masks"] == ["other_mask.png"]
    assert report["ignored_files"] == ["readme.txt"]
    masks = [tiny.read_mask(folder / f"{number}_mask.png") for number in range(3)]
    pixels = [int(np.sum([mask == value for mask in masks])) for value in (0, 255)]
    assert [entry["pixels"] for entry in report["classes"]] == pixels


def test_masks_from_a_folder_of_their_own_and_a_reading_are_taken(workspace: Path, tmp_path: Path):
    folder = tiny.write_pairs(tmp_path / "pairs")
    masks = tmp_path / "truth"
    masks.mkdir()
    for path in folder.glob("*_mask.png"):
        path.rename(masks / path.name.replace("_mask", ""))
    report = tiny.answer("data", "import", folder, "--masks", masks, "--reading", "threshold:9", "--name", "apart")
    assert (report["num_pairs"], len(report["classes"])) == (8, 2)


def test_sweep_training_and_evaluation_print_their_keys_and_agree(tiny_set: Path):
    swept = tiny.answer("lr-find", tiny.NAME, *tiny.sets())
    assert swept.keys() == {"run", "status", "picks", "declined", "notes"}
    assert swept["status"] == "finished"
    assert swept["picks"].keys() == PICKS
    declined = {name for name, rate in swept["picks"].items() if rate is None}
    assert swept["declined"].keys() == declined
    pick = next(name for name in sorted(PICKS) if name not in declined)

    trained = tiny.answer("train", tiny.NAME, "--lr", pick, *tiny.sets())
    assert trained.keys() == TRAIN_KEYS
    assert trained["valid"].keys() == VALID_KEYS
    assert trained["valid"]["dice"].keys() == trained["valid"]["iou"].keys() == {"background", "foreground"}
    assert trained["status"] == "finished"
    assert trained["max_lr"] == swept["picks"][pick]
    assert (trained["steps"], trained["epochs_trained"]) == (4, 2)
    assert 1 <= trained["best_epoch"] == trained["epochs"] <= 2, "the best epoch keeps its old name beside the new one"
    assert trained["images_per_s"] > 0
    assert any("too few for a one-cycle" in note["message"] for note in trained["notes"])
    run = store.open_run(own_workspace(), trained["run"])
    assert run.config.lr_source == f"{pick} of {swept['run']}", "the latest sweep of the same job was taken"
    assert len(store.list_runs(own_workspace(), kind="lr_find")) == 1

    scored = tiny.answer("evaluate", trained["run"])
    assert scored.keys() == TRAIN_KEYS
    assert scored["run"] != trained["run"]
    assert scored["valid"] == trained["valid"]
    assert (scored["best_epoch"], scored["epochs_trained"]) == (trained["best_epoch"], 0)
    assert scored["highest_lr"] is None, "nothing was trained"


def test_runs_are_listed_shown_and_deleted(tiny_set: Path, trained: Run):
    run = tiny.copy_of(trained)
    (row,) = tiny.answer("runs", "list")["runs"]
    expected = {"run": run.id, "name": "tiny training", "kind": "train", "dataset": tiny.NAME, "status": "finished"}
    assert expected.items() <= row.items()
    shown = tiny.answer("runs", "show", run.id)
    assert row.items() <= shown.items()
    assert shown["config"] == run.config.model_dump()
    assert shown["result"]["valid"]["mean_dice"] == row["mean_dice"]
    assert tiny.answer("runs", "delete", run.id) == {"run": run.id, "deleted": True}
    assert store.list_runs(own_workspace()) == []


def test_a_training_that_is_stopped_from_another_terminal_says_so_in_both(tiny_set: Path):
    with follow("train", tiny.NAME, *tiny.sets(tiny.ENDLESS)) as training:
        run = only_run(epochs=1)
        stopped = tiny.answer("runs", "stop", run.id)
        printed, _ = training.communicate(timeout=tiny.PATIENCE_S)
    assert (stopped["run"], stopped["status"]) == (run.id, "stopped")
    assert json.loads(printed)["status"] == "stopped"
    assert json.loads(printed).keys() == TRAIN_KEYS
    assert training.returncode == 0


def test_the_first_ctrl_c_stops_gracefully(tiny_set: Path):
    with follow("train", tiny.NAME, *tiny.sets(tiny.ENDLESS)) as training:
        run = only_run(epochs=2)
        training.send_signal(signal.SIGINT)
        printed, errors = training.communicate(timeout=tiny.PATIENCE_S)
    assert "Ctrl-C again" in errors
    assert "Traceback" not in errors
    result = json.loads(printed)
    assert (result["run"], result["status"], run.status.state) == (run.id, "stopped", "stopped")
    assert run.status.reason == "Stopped on request; the model it had is kept."
    # the epoch that the stop cut short may score higher, and is never the best
    best = [event["mean_dice"] for event in tiny.of_type(run, "epoch") if event["is_best"]][-1]
    assert result["valid"]["mean_dice"] == best


def test_ctrl_c_in_the_sweep_before_a_training_trains_nothing(tiny_set: Path):
    settings = tiny.sets({"lr_find.num_steps": 600})
    with follow("train", tiny.NAME, "--lr", "min_gradient", *settings) as training:
        tiny.wait_until(lambda: store.list_runs(own_workspace()), "a sweep")
        (sweep,) = store.list_runs(own_workspace())
        # half of the rates are seen: enough for picks, which nobody waited for
        tiny.wait_until(lambda: len(tiny.of_type(sweep, "batch")) > 300, "300 steps")
        training.send_signal(signal.SIGINT)
        printed, errors = training.communicate(timeout=30)
    assert training.returncode == 2
    assert "was stopped" in errors
    assert sweep.status.reason == "Stopped on request."
    error = json.loads(printed)["error"]
    assert (error["code"], error["message"] in errors) == ("run-error", True)
    assert [run.config.kind for run in store.list_runs(own_workspace())] == ["lr_find"]


def test_the_second_ctrl_c_kills(tiny_set: Path):
    with follow("train", tiny.NAME, *tiny.sets(tiny.ENDLESS)) as training:
        run = only_run(epochs=1)
        pid = run.status.pid
        os.kill(pid, signal.SIGSTOP)  # a worker that cannot answer
        training.send_signal(signal.SIGINT)
        assert "Ctrl-C again" in training.stderr.readline()
        assert run.status.state == "running"
        training.send_signal(signal.SIGINT)
        printed, errors = training.communicate(timeout=20)
    assert json.loads(printed)["status"] == run.status.state == "stopped"
    assert "Traceback" not in errors
    assert pid not in freeing.worker_pids(own_workspace())
    assert load_file(run.folder / "best.safetensors")


@pytest.mark.parametrize("command", [(), ("data",), ("runs",)])
def test_help_names_every_command(command: tuple[str, ...]):
    names = {
        (): "app demo data lr-find train evaluate forecast runs free",
        ("data",): "sample import check list",
        ("runs",): "list show stop pause resume move delete",
    }[command]
    done = tiny.command(*command, "--help", COLUMNS="100", NO_COLOR="1")
    assert done.returncode == 0
    assert set(names.split()) <= set(done.stdout.split())


def test_what_people_read_names_scores_with_their_meaning(trained_home: Run):
    done = tiny.command("runs", "show", trained_home.id)
    assert done.returncode == 0, done.stderr
    for words in ("finished", "pixel counts pooled", "mean without background", "largest class everywhere"):
        assert words in done.stdout


def test_a_run_that_waits_is_cancelled_by_its_command(tiny_set: Path):
    with queue.device_lock("cpu").acquire(timeout=0):
        run = jobs.start(own_workspace(), tiny.config())
        answer = tiny.answer("runs", "stop", run.id)
    assert answer == {"run": run.id, "status": "stopped", "reason": "Cancelled before it started."}
