"""What a person can get wrong at the command line: exit code 2, one clear message, nothing lost, no traceback."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests import tiny
from unetlab.data import changes
from unetlab.data.dataset import list_datasets
from unetlab.runs import jobs, store
from unetlab.runs.store import Run
from unetlab.workspace import open_workspace, own_workspace


def refused(done: subprocess.CompletedProcess, *words: str) -> None:
    """Asserts that the command ended with 2 and a message that holds these words, on standard error; with --json the
    same as an object on standard output, else nothing there."""
    assert done.returncode == 2, done.stdout + done.stderr
    if "--json" in done.args:
        error = json.loads(done.stdout)["error"]
        assert error.keys() == {"code", "message", "problems"}
        assert error["message"] == done.stderr.rstrip("\n")
        assert error["problems"] == error["message"].splitlines()
    else:
        assert done.stdout == ""
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == len(set(lines)), "said twice"


def importing(folder: Path, *options: str) -> subprocess.CompletedProcess:
    return tiny.said("data", "import", folder, "--name", "cells", *options, "--json")


def nothing_is_left(home: Path) -> None:
    """Asserts that a refused import left no data set and no staging folder."""
    assert list_datasets(own_workspace()) == []
    assert list((home / "datasets").iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "tinny"], ["no data set 'tinny'", "tiny"]),
        (["lr-find", "tinny"], ["no data set 'tinny'", "tiny"]),
        (["data", "check", "../tiny"], ["'../tiny' is not a valid name"]),
        (["train", "tiny", "--set", "model.deph=4"], ["Unknown option 'model.deph'", "Did you mean 'model.depth'?"]),
        (["train", "tiny", "--set", "train.epochs=0"], ["train.epochs: must be at least 1 and at most 10000, not 0"]),
        (["train", "tiny", "--set", "model.skip=sum"], ["model.skip: 'sum'", "'concat', 'add' or 'none'"]),
        (["train", "tiny", "--set", "model.depth"], ["has no '='"]),
        (["train", "tiny", "--lr", "fast"], ["--lr 'fast' is neither a pick nor a number", "min_gradient"]),
        (["train", "tiny", "--lr", "mingradient"], ["--lr 'mingradient'", "Picks: min_gradient, ", "valley", "1e-3"]),
        (["train", "tiny", "--lr", "vally"], ["Picks: valley, "]),
        (["train", "tiny", "--lr", "-1"], ["train.max_lr: must be above 0 and at most 100, not -1"]),
        (["train", "tiny", "--from", "nope"], ["no run 'nope'", "runs list"]),
    ],
)
def test_what_is_unknown_or_out_of_bounds_is_named_before_a_worker_starts(
    tiny_set: Path, arguments: list[str], words: list[str]
):
    refused(tiny.said(*arguments), *words)
    assert store.list_runs(own_workspace()) == []


@pytest.mark.parametrize("command", ["show", "stop", "delete"])
def test_a_run_id_that_is_none_deletes_nothing(tiny_set: Path, command: str):
    open_workspace(tiny_set)  # makes its folders, as the command does
    before = set(tiny_set.rglob("*"))
    refused(tiny.said("runs", command, ".."), "'..' is not a valid name")
    assert set(tiny_set.rglob("*")) == before


def test_a_live_run_is_not_deleted_and_an_ended_one_not_stopped(tiny_set: Path):
    live = tiny.waiting_run()
    refused(tiny.said("runs", "delete", live.id), "is queued. Stop it first")
    assert live.status.state == "queued"
    jobs.write_status(live.folder, live.status.model_copy(update={"state": "failed"}))
    refused(tiny.said("runs", "stop", live.id), "has ended already (failed)")


def test_a_run_without_weights_is_not_evaluated(tiny_set: Path):
    run = tiny.waiting_run()
    jobs.write_status(run.folder, run.status.model_copy(update={"state": "failed"}))
    done = tiny.command("evaluate", run.id)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "No usable weights" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_old_run_is_scored_on_the_version_it_saw_or_says_that_it_is_gone(tiny_set: Path, trained: Run):
    run, folder = tiny.copy_of(trained), tiny_set / "datasets" / tiny.NAME
    changes.revise(folder, {"valid_fraction": 0.5})
    scored = tiny.answer("evaluate", run.id)
    assert scored["valid"] == trained.read("result.json")["valid"]
    for path in (folder / "versions").iterdir():
        path.unlink()
    done = tiny.command("evaluate", run.id)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "has no version" in done.stderr


def test_pictures_without_masks_are_no_data_set(workspace: Path, tmp_path: Path):
    folder = tiny.write_pairs(tmp_path / "pairs", count=3)
    for path in folder.glob("*_mask.png"):
        path.unlink()
    refused(importing(folder), "No picture has a mask", "images/1.png and masks/1.png")
    nothing_is_left(workspace)


def test_one_pair_is_too_few(workspace: Path, tmp_path: Path):
    refused(importing(tiny.write_pairs(tmp_path / "pairs", count=1)), "at least 2 are needed")
    nothing_is_left(workspace)


def test_a_folder_that_is_not_there_is_named(workspace: Path, tmp_path: Path):
    refused(importing(tmp_path / "nowhere"), "nowhere does not exist")
    nothing_is_left(workspace)


def test_unreadable_files_are_left_out_of_the_rest_which_is_imported(workspace: Path, tmp_path: Path):
    folder = tiny.write_pairs(tmp_path / "pairs", count=6)
    (folder / "1.png").write_text("this is text")
    (folder / "2.png").write_bytes((folder / "2.png").read_bytes()[:200])  # torn in the middle
    (folder / "4_mask.png").write_bytes(b"")
    report = tiny.told("data", "import", folder, "--name", "cells")
    assert report["num_pairs"] == 3
    assert sorted((problem["file"], problem["code"]) for problem in report["problems"]) == [
        ("1.png", "unreadable"),
        ("2.png", "unreadable"),
        ("4_mask.png", "unreadable"),
    ]
    assert all(problem["message"].startswith(problem["file"]) for problem in report["problems"])


def test_a_text_file_named_png_is_told_where_too_little_is_left(workspace: Path, tmp_path: Path):
    folder = tiny.write_pairs(tmp_path / "pairs", count=2)
    (folder / "1.png").write_text("this is text")
    refused(importing(folder), "at least 2 are needed", "1.png")
    nothing_is_left(workspace)


def test_pictures_and_masks_of_differing_sizes_are_named_with_both_sizes(workspace: Path, tmp_path: Path):
    folder = tiny.write_pairs(tmp_path / "pairs", count=2)
    Image.new("L", (20, 24)).save(folder / "0.png")
    refused(importing(folder), "0.png", "20", "24", "32")
    nothing_is_left(workspace)


def test_three_hundred_mask_values_are_no_classes_and_another_reading_is_one_option(workspace: Path, tmp_path: Path):
    folder = tiny.write_pairs(tmp_path / "pairs", count=4)
    for number in range(4):
        values = np.arange(32 * 32, dtype=np.uint16).reshape(32, 32) % 300
        Image.fromarray(values).save(folder / f"{number}_mask.png")
    proposed = tiny.told("data", "import", folder, "--name", "proposed")
    assert len(proposed["classes"]) == 2
    (told,) = (problem for problem in proposed["problems"] if problem["code"] == "reading")
    assert "count single objects" in told["message"]
    report = tiny.told("data", "import", folder, "--name", "cells", "--reading", "threshold:149")
    above = int((np.arange(32 * 32) % 300 > 149).sum()) * 4
    assert [entry["pixels"] for entry in report["classes"]] == [4 * 32 * 32 - above, above]


def test_masks_that_are_all_empty_teach_nothing(workspace: Path, tmp_path: Path):
    folder = tiny.write_pairs(tmp_path / "pairs", count=3)
    for number in range(3):
        Image.new("L", (32, 32)).save(folder / f"{number}_mask.png")
    refused(importing(folder), "All 3 masks have only the value 0", "nothing to learn")
    nothing_is_left(workspace)


def test_a_name_that_is_taken_is_refused_with_a_free_one(tiny_set: Path, tmp_path: Path):
    before = (tiny_set / "datasets" / tiny.NAME / "manifest.json").read_bytes()
    folder = tiny.write_pairs(tmp_path / "pairs", count=2)
    refused(tiny.said("data", "import", folder, "--name", tiny.NAME), "'tiny' already", "'tiny-2'")
    assert (tiny_set / "datasets" / tiny.NAME / "manifest.json").read_bytes() == before


def test_a_refusal_is_one_object_with_each_reason_by_itself(tiny_set: Path):
    done = tiny.said("train", "tiny", "--set", "train.epochs=0", "--set", "model.depth=99", "--json")
    refused(done, "train.epochs: must be at least 1", "model.depth: must be at least 1 and at most 6, not 99")
    error = json.loads(done.stdout)["error"]
    assert error["code"] == "config-error"
    assert [problem.split(": ")[0] for problem in error["problems"]] == ["model.depth", "train.epochs"]


def test_a_run_that_failed_says_why_in_its_one_object(tiny_set: Path):
    too_deep = tiny.sets({"train.batch_size": 1, "model.depth": 5})
    done = tiny.said("forecast", tiny.NAME, *too_deep, "--json")
    printed = json.loads(done.stdout)
    assert (done.returncode, printed["status"], printed["error"]["code"]) == (2, "failed", "failed")
    assert "Use a batch size of 2 or more" in printed["error"]["message"]
    assert printed["error"]["message"] in done.stderr
