"""Makes workspace_schema1.zip: a small workspace as unetlab left it when runs had schema 1, for tests to open.

Run once, with that code and not with today's:

    git worktree add --detach ../old 776a0ca && cd ../old
    OMP_NUM_THREADS=1 PYTHONPATH=. python .../tests/stored/make_workspace.py .../tests/stored/workspace_schema1.zip

Real workers made everything in it, in this order; twin.json beside the workspace names the runs by these words:

| run       | what it is                                                                              |
|-----------|-----------------------------------------------------------------------------------------|
| sweep     | a finished sweep of the first version of the data set                                   |
| training  | a finished training with a pick of `sweep` (parent = the sweep); name, tags and remarks |
| again     | a finished training with the form of `training` and a typed rate (parent = the training)|
| evaluation| the scores of `training` once more, after a pair was left out of the set                |
| guided    | a sweep of the second version that trains with its first pick (then_train)              |
| then      | the training that `guided` started (parent = the sweep)                                 |
| failed    | a training that asked for a GPU where there was none                                    |
| paused    | a training paused in the middle, with its checkpoint                                    |

`twin.json` also holds the losses of the training that `paused` would have been without the pause.
"""

import json
import shutil
import sys
import tempfile
import zipfile
from os import environ
from pathlib import Path

from tests import tiny
from unetlab.data.dataset import open_dataset
from unetlab.runs import jobs
from unetlab.runs.store import Notes, Run, list_runs, open_run

NAME = "cells"
OPTIONS = tiny.OPTIONS | {"train.epochs": 6, "train.precision": "fp32"}  # not every machine has bf16
LONG = {"train.epochs": 30, "model.dropout": 0.2}
NEEDLESS = ("worker.log", "reserve", "workers", "queue.json", "overlay.jpg", "augmented")


def main(target: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        environ.update(UNETLAB_HOME=str(home), UNETLAB_LOCKS=f"{folder}/locks")
        tiny.answer("data", "import", tiny.write_pairs(Path(folder) / "pairs"), "--name", NAME)
        runs = make_runs()
        losses = tiny.losses(runs.pop("twin"))
        remove_needless(home, keep=set(runs.values()))
        twin = {"runs": {word: run.id for word, run in runs.items()}, "losses": losses}
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
            archive.writestr("twin.json", json.dumps(twin, indent=1))
            for path in sorted(home.rglob("*")):
                if path.is_file():
                    archive.write(path, Path("home") / path.relative_to(home))
        for path in home.rglob("*"):
            assert not path.is_file() or folder.encode() not in path.read_bytes(), f"{path} knows where it was made"


def make_runs() -> dict[str, Run]:
    """Every run of the table above, by its word, and the `twin` of the paused one."""
    sets = tiny.sets(OPTIONS)
    runs = {"sweep": open_run(tiny.answer("lr-find", NAME, *sets)["run"])}
    sweep = runs["sweep"].id
    runs["training"] = open_run(tiny.answer("train", NAME, "--from", sweep, "--lr", "min_gradient", *sets)["run"])
    training = runs["training"].id
    runs["training"].write_notes(Notes(name="the good one", tags=["baseline", "32 px"], remarks="Looks right to me."))
    short = ("--set", "train.epochs=1")
    runs["again"] = open_run(tiny.answer("train", NAME, "--from", training, "--lr", "0.01", *short)["run"])
    tiny.answer("data", "change", NAME, "--exclude", open_dataset(NAME).manifest.pairs[0].name)
    runs["evaluation"] = open_run(tiny.answer("evaluate", training)["run"])
    runs["guided"] = jobs.start(config("lr_find", then_train=True), name="sample")
    assert tiny.ended(runs["guided"]).state == "finished"
    runs["then"] = next(run for run in list_runs(kind="train") if run.config.parent == runs["guided"].id)
    assert tiny.ended(runs["then"]).state == "finished"
    runs["failed"] = jobs.start(config("train", {"train.device": "cuda"}))
    assert tiny.ended(runs["failed"]).state == "failed"
    runs["twin"] = jobs.start(config("train", LONG))
    assert tiny.ended(runs["twin"]).state == "finished"
    runs["paused"] = jobs.start(config("train", LONG))
    tiny.wait_until(lambda: len(tiny.losses(runs["paused"])) > 10, "ten steps")
    jobs.pause(runs["paused"])
    assert tiny.ended(runs["paused"]).state == "paused"
    return runs


def config(kind: str, changes: dict | None = None, **top: object):
    """A job on the data set."""
    return tiny.config(kind, OPTIONS | (changes or {}), dataset=NAME, **top)


def remove_needless(home: Path, *, keep: set[Run]) -> None:
    """Takes away what tells nothing: other runs, logs, the machine's name."""
    for run in (home / "runs").iterdir():
        if Run(run) not in keep:
            shutil.rmtree(run)
            continue
        status = json.loads((run / "status.json").read_text())
        (run / "status.json").write_text(json.dumps(status | {"host": "elsewhere"}))
    for path in list(home.rglob("*")):
        if path.name in NEEDLESS or path.name.endswith(".lock"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
