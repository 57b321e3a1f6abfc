"""Texts that a page must show as they are: Markdown, HTML, and what Streamlit's own dialect adds to them."""

import os
import shutil
import socket
import time
from pathlib import Path
from typing import Any

import psutil

from tests import tiny
from unetlab import events
from unetlab.data import changes
from unetlab.data.dataset import open_dataset
from unetlab.data.importing import import_dataset
from unetlab.files import write_json
from unetlab.runs import jobs, store
from unetlab.runs.status import StatusKeeper, boot_id, write_status
from unetlab.runs.store import Notes, Run
from unetlab.workspace import own_workspace

EVIL = "evil.example"  # nothing on any page may point there
STRINGS = [
    f"![x](http://{EVIL}/p.png)",
    f"[click](http://{EVIL})",
    f"[ref]: http://{EVIL}",
    f"<img src=http://{EVIL}/p.png>",
    f"<http://{EVIL}>",
    "<b>b</b> <!-- c -->",
    "**bold** and *it* __u__ ~~s~~ [^1]",
    "$math$ and $$x^2$$",
    ":red[x] :color[y]{foreground=red} a:{x}",
    ":material/home: :material_home: :streamlit:",
    ":smile: :+1: é:smile:é :a:b:",
    ":help[x]",
    ":::note",
    f"http://{EVIL}",
    f"see https://{EVIL}/x?y=1.",
    f"(www.{EVIL}) WWW.{EVIL}, _www.{EVIL}",
    f"a@{EVIL} mailto:a@{EVIL}",
    "`code` ``x``",
    "&lt;b&gt; &amp; &#58;",
    "one\n\n    two",
    "# head",
    "- item",
    "+ item",
    "1. item",
    "12) item",
    "> quote",
    "a\n---",
    "a\n===",
    "```\nx\n```",
    "~~~",
    "| a | b |\n| - | - |",
    "a -> b <- c <-> d -- e >= f <= g ~= h",
    "->",
    "{a} \\ back\\",
    "!",
    "\u05e9\u05dc\u05d5\u05dd abc",
    "zero\u200bwidth:\u200bsmile:",
    "__init__ a_b_c *",
]

DATASET = f"www.{EVIL}"  # as hostile as a data set's name can be
NAME = (
    f"![x](http://{EVIL}/p.png) [c](http://{EVIL}) <img src=http://{EVIL}/p.png> **s** www.{EVIL} :smile: $m$ :red[r]"
)
REASON = f"{NAME} of a reason."
FILES = [f"![{n}](www.{EVIL}) <b>{n}<b> **s** :smile: $m$ :red[r]" for n in range(8)]  # a file's name has no slash


def fill(folder: Path) -> Run:
    """Fills the current workspace: a data set whose files and classes have hostile names, and a training on it."""
    tiny.write_pairs(folder)
    for number, name in enumerate(FILES):
        (folder / f"{number}.png").rename(folder / f"{name}.png")
        (folder / f"{number}_mask.png").rename(folder / f"{name}_mask.png")
    shutil.copy(folder / f"{FILES[0]}.png", folder / f"[orphan](www.{EVIL}).png")
    (folder / f"[unused](www.{EVIL}).xyz").touch()
    import_dataset(own_workspace(), [folder], name=DATASET)
    data = open_dataset(own_workspace(), DATASET).folder
    changes.update_classes(data, names={0: f"b {NAME}", 1: NAME})
    changes.revise(data, {"excluded": [f"{FILES[7]}.png"]})
    run = jobs.start(own_workspace(), tiny.config(dataset=DATASET, lr_source=NAME), name=NAME)
    assert tiny.ended(run).state == "finished", run.log_tail()
    run.write_notes(Notes(name=NAME, tags=[NAME], remarks=NAME))
    with (run.folder / "events.jsonl").open("a") as file:
        for about in ({}, {"page": "pages/lab/data.py"}):
            file.write(events.to_line(events.Note(f"{NAME}\nsecond {NAME}", about=about), time=1.0, attempt=1))
    return run


def put_into(run: Run, **changed: Any) -> Run:
    """A copy of a run in another state, whose worker, where it needs one, is this process."""
    copy = Run(Path(shutil.copytree(run.folder, run.folder.with_name(f"{run.id}-{changed['state']}"))))
    worker = {"pid": os.getpid(), "started": psutil.Process().create_time(), "host": socket.gethostname()}
    worker |= {"boot_id": boot_id(), "heartbeat": time.time() + 3600, "device": "cpu", "done": 1, "total": 4}
    write_status(copy.folder, copy.status.model_copy(update=worker | {"reason": REASON} | changed))
    if changed["state"] != "finished":
        (copy.folder / "evaluation.json").unlink()
    return copy


def sweep(after: Run) -> Run:
    """A sweep that ended, one pick declined and one with a caution in hostile words."""
    run = store.create_run(own_workspace(), tiny.config("lr_find", dataset=DATASET), name=NAME)
    shutil.copy(after.folder / "events.jsonl", run.folder / "events.jsonl")
    swept = {"lrs": [1e-3, 1e-2], "losses": [1.0, 0.5], "smoothed_losses": [1.0, 0.5]}
    curve = {
        "sweeps": [swept],
        "picks": {"min_gradient": {"lr": 1e-2, "index": 1}, "min_loss_tenth": None},
        "declined": {"min_loss_tenth": REASON},
        "spread": {"min_gradient": [1e-2]},
        "cautions": {"min_gradient": REASON},
    }
    write_json(run.folder / "lr_curve.json", curve)
    StatusKeeper(run.folder).end("stopped", REASON)
    return run
