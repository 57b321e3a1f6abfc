"""Real workers on a tiny data set: what a job leaves, its turn, a graceful stop, the same seed twice."""

import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from tests import tiny
from unetlab import lr_curve, worker
from unetlab.config import LRFrom
from unetlab.data.dataset import open_dataset
from unetlab.runs import devices, jobs, queue, store
from unetlab.runs.store import Run, read_events
from unetlab.workspace import own_workspace

PICTURES = (".jpg", ".png")


def of_table(writer: str) -> set[str]:
    """Names of files in the table of runs/store.py; `writer` keeps those of one kind of job."""
    rows = [[cell.strip() for cell in line.split("|")[1:4]] for line in store.__doc__.splitlines() if line[:1] == "|"]
    names = {files: who for files, who, _ in rows[2:]}
    kinds = re.compile(r"\((lr_find|train|preview)\)")
    kept = [files for files, who in names.items() if not kinds.search(who) or f"({writer})" in who]
    found = set()
    for entry in kept:
        first, *others = re.split(r"[, ]+", entry.replace(" / ", "/"))
        if "/" in first and not first.startswith(("previews", "predictions")):  # "best/last .safetensors .json"
            found |= {stem + suffix for stem in first.split("/") for suffix in others}
        else:
            found |= {first, *(first[: first.rindex(".")] + o if o.startswith(".") else o for o in others)}
    return {name.rstrip("/") for name in found}


def files_of(run: Run) -> set[str]:
    return {path.relative_to(run.folder).as_posix() for path in run.folder.rglob("*")}


def losses(run: Run) -> list[float]:
    return [event["loss"] for event in tiny.of_type(run, "batch")]


def test_a_finished_training_leaves_every_file_of_the_contract(trained_home: Run):
    names = files_of(trained_home)
    asked = {
        "stop",
        "pause",
        "one_thread",
        "reserve",
        "checkpoint.pt",
    }  # a person's, and what goes at the end
    expected = of_table("train") - asked - {"previews/epoch_003/0.jpg", "previews/epoch_003/0.png"}
    assert {"config.json", "best.safetensors", "last.json", "evaluation.json", "worker.log"} <= expected
    assert expected <= names
    assert not asked & names
    previews = {f"previews/epoch_{epoch:03d}/{shown}{end}" for epoch in (0, 1) for shown in (0, 1) for end in PICTURES}
    assert previews <= names
    explained = expected | previews | {"previews", "previews/epoch_000", "previews/epoch_001"}
    assert {name for name in names - explained if not name.startswith("predictions/")} <= {".lock"}


def test_a_finished_training_can_be_read_without_torch(trained_home: Run):
    run, data = trained_home, open_dataset(own_workspace(), tiny.NAME)
    status = run.status
    assert (status.state, status.reason, status.phase) == ("finished", "", "training")
    assert (status.done, status.detail) == (status.total, "scoring the best weights, 2 of 2 pictures")
    assert status.ended >= status.running_since >= status.created
    weights = load_file(run.folder / "best.safetensors")
    assert all(np.isfinite(tensor).all() for tensor in weights.values())
    assert run.read("best.json")["content_hash"] == data.manifest.content_hash
    assert run.read("environment.json").keys() >= {"torch", "device", "threads", "seed", "content_hash", "precision"}
    for picture in run.read("evaluation.json")["pictures"]:
        with Image.open(run.folder / picture["file"]) as file:
            assert np.asarray(file).shape == data.mask(picture["index"]).shape
    assert run.log_tail() == ""


def test_every_step_and_epoch_is_logged_once_and_in_order(trained_home: Run):
    events = read_events(trained_home)[0]
    batches = [event for event in events if event["type"] == "batch"]
    steps_per_epoch = 2  # six pictures train, three a batch
    assert [(event["step"], event["epoch"]) for event in batches] == [(s, s // steps_per_epoch) for s in range(4)]
    assert batches[0].keys() == {"type", "step", "epoch", "loss", "lr", "momentum", "skipped", "time", "attempt"}
    epochs = [event for event in events if event["type"] == "epoch"]
    assert [(event["epoch"], event["step"]) for event in epochs] == [(0, 2), (1, 4)]
    times = [event["time"] for event in events]
    assert times == sorted(times)


def test_the_same_seed_gives_the_same_losses_to_the_bit_and_another_seed_others(tiny_set: Path, trained: Run):
    again = jobs.start(own_workspace(), tiny.config(changes={"train.epochs": 2}))
    other = jobs.start(own_workspace(), tiny.config(changes={"train.epochs": 1, "train.seed": 1}))
    assert [tiny.ended(run).state for run in (again, other)] == ["finished", "finished"]
    assert losses(again) == losses(trained)
    assert [e["valid_loss"] for e in tiny.of_type(again, "epoch")] == [
        e["valid_loss"] for e in tiny.of_type(trained, "epoch")
    ]
    first, second = (load_file(run.folder / "last.safetensors") for run in (again, trained))
    assert all((first[name] == second[name]).all() for name in second)
    assert losses(other) != losses(trained)[:2]


def test_a_stop_in_the_middle_keeps_a_model_that_scores_what_was_logged(tiny_set: Path):
    run = tiny.start_and_train({"train.schedule": "flat", "train.max_lr": 0.1}, epochs=4)
    tiny.wait_until(lambda: not any(e["is_best"] for e in tiny.of_type(run, "epoch")[-3:]), "the best lies behind")
    jobs.stop(run)
    status = tiny.ended(run)
    assert (status.state, status.detail) == ("stopped", "scoring the best weights, 2 of 2 pictures")
    epochs = tiny.of_type(run, "epoch")
    assert epochs[-1]["step"] == len(tiny.of_type(run, "batch")) == status.done < status.total == 20_000
    whole = [
        event for event in epochs if event["step"] % epochs[0]["step"] == 0
    ]  # a stop's part of one is never the best
    best = max(whole, key=lambda event: (event["mean_dice"], -event["valid_loss"]))
    assert [event["epoch"] for event in epochs if event["is_best"]][-1] == best["epoch"]
    again = jobs.start(own_workspace(), run.config.changed({}, kind="evaluate", weights_from={"run": run.id}))
    assert tiny.ended(again).state == "finished", again.log_tail()
    scored = again.read("result.json")["valid"]
    assert scored == run.read("result.json")["valid"]
    assert {name: best[name] for name in scored if name != "loss"} == {
        name: value for name, value in scored.items() if name != "loss"
    }
    assert scored["loss"] == best["valid_loss"]


def test_two_jobs_run_one_after_the_other_and_a_third_is_cancelled_while_it_waits(tiny_set: Path):
    first = jobs.start(own_workspace(), tiny.config(changes={"train.epochs": 40}))
    tiny.wait_until(lambda: first.status.state == "running", "the first runs")
    second, third = (
        jobs.start(own_workspace(), tiny.config(changes={"train.epochs": 1})),
        jobs.start(own_workspace(), tiny.config()),
    )
    tiny.wait_until(lambda: third.status.phase == "waiting for the device", "the third waits")
    assert [run.status.state for run in (first, second, third)] == ["running", "queued", "queued"]
    assert [queue.position(run) for run in (second, third)] == [0, 1]
    jobs.stop(third)
    cancelled = tiny.ended(third)
    assert (cancelled.state, cancelled.reason) == ("stopped", "Cancelled before it started.")
    assert (first.status.state, second.status.state) == ("running", "queued")
    assert read_events(second)[0] == read_events(third)[0] == []
    assert tiny.ended(first).state == "finished"
    status = tiny.ended(second)
    assert (status.state, status.running_since >= first.read("status.json")["ended"] - 1) == ("finished", True)
    assert tiny.of_type(second, "batch")[0]["time"] > tiny.of_type(first, "epoch")[-1]["time"]
    assert queue.read_queue(own_workspace()).order == []


def test_a_job_waits_while_another_workspace_has_the_device(tiny_set: Path):
    with queue.device_lock(devices.lock_key("cpu")).acquire(timeout=0):
        run = jobs.start(own_workspace(), tiny.config())
        tiny.wait_until(lambda: run.status.phase == "waiting for the device", "the job waits")
        assert queue.is_my_turn(run)
        assert run.status.state == "queued"
        jobs.stop(run)
        assert tiny.ended(run).state == "stopped"


def test_a_sweep_writes_its_curve_and_the_training_behind_it_takes_its_rate(tiny_set: Path):
    sweep, training = tiny.sweep_and_train({"train.epochs": 1}, name="both")
    assert tiny.ended(sweep).state == "finished", sweep.log_tail()
    curve = sweep.read("lr_curve.json")
    assert 10 < len(curve["sweeps"][0]["lrs"]) <= 30
    assert len(tiny.of_type(sweep, "batch")) == len(curve["sweeps"][0]["losses"])
    picks = {name: pick["lr"] for name, pick in curve["picks"].items() if pick}
    assert curve["picks"].keys() == set(lr_curve.PICKS) == picks.keys() | curve["declined"].keys()
    assert picks, curve["declined"]
    assert tiny.ended(training).state == "finished", training.log_tail()
    preferred = [name for name in ("min_gradient", *lr_curve.PREFERENCE) if name in picks]
    name = next((name for name in preferred if name not in curve["cautions"]), preferred[0])
    rate, config = picks[name], training.config
    assert config.lr_from == LRFrom(sweep=sweep.id, pick=name, lr=rate)
    assert (config.train.max_lr, config.lr_source) == (rate, f"{name} of {sweep.id}")
    assert f": {lr_curve.LABELS[name]} of the sweep both." in str(tiny.of_type(training, "note"))
    assert max(event["lr"] for event in tiny.of_type(training, "batch")) <= rate
    assert training.read("result.json")["max_lr"] == rate
    assert training.read("config.json")["lr_from"]["lr"] is None, "what was asked for is never rewritten"
    assert training.notes.name == "both"


def test_a_worker_measures_its_size_as_soon_as_torch_is_loaded(monkeypatch: pytest.MonkeyPatch):
    from unetlab.training import jobs as torch_jobs

    order: list[str] = []
    monkeypatch.setattr(torch_jobs, "size_with_torch", lambda: order.append("measured"))
    monkeypatch.setattr(torch_jobs, "warm_up", lambda: order.append("warmed up"))
    monkeypatch.setattr(worker, "gc", SimpleNamespace(disable=list, enable=list, freeze=list))
    worker._load_torch.__wrapped__()
    worker._warm_up()
    assert order == ["measured", "warmed up"]
