"""A start with a key starts once, from several processes too, and gives the run one worker."""

import os
import subprocess
import sys

import pytest

from tests import tiny
from tests.conftest import ROOT
from unetlab.runs import jobs, launching, store
from unetlab.runs.store import Run, list_runs
from unetlab.workspace import own_workspace

START = (
    "from tests import tiny\n"
    "from unetlab.runs import jobs, launching\n"
    "from unetlab.workspace import own_workspace\n"
    "launching.hand_over = lambda run, **_: print('handed over')\n"
    "print(jobs.start(own_workspace(), tiny.config(), key='press').id)\n"
)


@pytest.fixture
def handed(monkeypatch: pytest.MonkeyPatch) -> list[Run]:
    """The runs that were given a worker; none really is."""
    runs: list[Run] = []
    monkeypatch.setattr(launching, "hand_over", lambda run, **_: runs.append(run))
    return runs


def test_a_second_start_with_a_key_returns_the_first_ones_run_and_gives_it_no_second_worker(handed: list[Run]):
    first = jobs.start(own_workspace(), tiny.config(), name="once", key="press")
    assert jobs.start(own_workspace(), tiny.config(changes={"train.epochs": 7}), key="press") == first
    assert handed == [first]
    assert jobs.start(own_workspace(), tiny.config(), key="another press") != first


def test_half_a_run_of_a_starter_that_was_killed_gives_way_and_the_key_still_starts_once(
    handed: list[Run], monkeypatch: pytest.MonkeyPatch
):
    with monkeypatch.context() as patch:
        patch.setattr(store, "write_status", lambda *_: sys.exit())
        with pytest.raises(SystemExit):
            jobs.start(own_workspace(), tiny.config(), key="press")
    assert [path.name for path in own_workspace().runs.glob("[!.]*/*.json")], "half a run is left"
    run = jobs.start(own_workspace(), tiny.config(), key="press")
    assert jobs.start(own_workspace(), tiny.config(), key="press") == run
    assert [folder.name for folder in own_workspace().runs.glob("[!.]*")] == [run.id]
    assert handed == [run]


def test_of_processes_that_start_with_one_key_one_starts():
    given = {"env": os.environ | {"PYTHONPATH": str(ROOT)}, "cwd": ROOT, "stdout": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen([sys.executable, "-c", START], **given) for _ in range(3)]
    said = [process.communicate(timeout=tiny.PATIENCE_S)[0].split("\n") for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    (run,) = list_runs(own_workspace())
    assert [lines[-2] for lines in said] == [run.id] * 3
    assert sum("handed over" in lines for lines in said) == 1
