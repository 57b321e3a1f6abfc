"""A list of many runs reads each file once, and never an old state of it."""

import json
import os
import time
from pathlib import Path

import pytest

from tests import tiny
from unetlab import files
from unetlab.runs import jobs, store
from unetlab.runs.status import write_status
from unetlab.runs.store import Notes, Run
from unetlab.workspace import own_workspace


def age(path: Path, seconds: float = 60) -> None:
    """Makes the file look as if it had been written earlier."""
    then = time.time() - seconds
    os.utime(path, (then, then))


def settled_run(name: str, kind: str = "train") -> Run:
    run = store.create_run(own_workspace(), tiny.config(kind), name=name)
    write_status(run.folder, run.status.model_copy(update={"state": "finished", "ended": time.time()}))
    for path in run.folder.iterdir():
        age(path)
    return run


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Files that were read as JSON."""
    found: list[Path] = []
    real = files.read_json
    monkeypatch.setattr(files, "read_json", lambda path: found.append(path) or real(path))
    return found


def look() -> list[str]:
    """What pages ask of all runs."""
    runs = store.list_runs(own_workspace(), dataset=tiny.NAME, kind="train")
    return [run.notes.name for run in runs if not jobs.is_live(run)]


def test_files_that_have_not_changed_are_read_once(opened):
    for number in range(3):
        settled_run(str(number))
    assert sorted(look()) == ["0", "1", "2"]
    assert opened
    opened.clear()
    assert sorted(look()) == ["0", "1", "2"]
    assert opened == []


def test_a_file_that_was_written_again_is_read_again(opened):
    run = settled_run("before")
    assert look() == ["before"]
    run.write_notes(Notes(name="after"))
    assert look() == ["after"]
    age(run.folder / "notes.json", 30)
    assert look() == ["after"]
    write_status(run.folder, run.status.model_copy(update={"state": "queued", "created": time.time()}))
    assert look() == []


def test_a_young_file_is_read_each_time_for_its_clock_may_not_tell_two_versions_apart(tmp_path):
    path = tmp_path / "notes.json"
    path.write_text(json.dumps("old"))
    kept = path.stat()
    assert files.read_settled(path) == "old"
    path.write_text(json.dumps("new"))  # same length, same file, and made to have the same time
    os.utime(path, ns=(kept.st_atime_ns, kept.st_mtime_ns))
    assert files.read_settled(path) == "new"


def test_what_vanishes_while_a_folder_is_measured_counts_nothing(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "file").write_bytes(b"x" * 70)
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    assert files.size_of(tmp_path) == 70
    assert files.size_of(tmp_path / "nowhere") == 0
