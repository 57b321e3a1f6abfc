"""A storm over real workers, and a look at whether who watches it would see what must not happen."""

import json
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests import tiny
from tests.chaos import witness
from tests.chaos.storm import WEIGHTS, rage
from tests.chaos.witness import Tab, Witness
from unetlab.runs.status import State, StatusKeeper, write_status
from unetlab.runs.store import Run


@pytest.mark.parametrize("seed", [20260512])
def test_a_storm_of_kills_pauses_and_full_disks_loses_nothing(tmp_path: Path, seed: int):
    storm = rage(tmp_path, seed=seed, seconds=25)  # make chaos rages longer
    assert len(storm.acts) > len(WEIGHTS)


def lines(run: Run) -> list[bytes]:
    return (run.folder / "events.jsonl").read_bytes().splitlines(keepends=True)


def write_lines(run: Run, content: list[bytes]) -> None:
    (run.folder / "events.jsonl").write_bytes(b"".join(content))


def again(run: Run, *, step: int, attempt: int) -> None:
    """Logs a step once more."""
    event = next(json.loads(line) for line in lines(run) if b'"batch"' in line)
    write_lines(run, [*lines(run), json.dumps(event | {"step": step, "attempt": attempt}).encode() + b"\n"])


HARM: dict[str, tuple[Callable[[Run], object], str]] = {
    "a run vanishes": (lambda run: (run.folder / "status.json").unlink(), "not listed"),
    "a log is cut": (lambda run: write_lines(run, lines(run)[:-1]), "does not begin"),
    "a line is changed": (lambda run: write_lines(run, [b"{}\n", *lines(run)[1:]]), "does not begin"),
    "half a line stays": (lambda run: write_lines(run, [*lines(run), b'{"type"\n']), "is no JSON"),
    "a step is left out": (lambda run: again(run, step=9, attempt=2), "step 9 of attempt 2 is logged after step 3"),
    "a step comes twice": (lambda run: again(run, step=3, attempt=1), "step 3 of attempt 1 is logged after step 3"),
    "weights vanish": (lambda run: (run.folder / "best.safetensors").unlink(), "best.safetensors is gone"),
    "weights are torn": (lambda run: (run.folder / "last.safetensors").write_bytes(b"torn"), "cannot be read"),
    "a checkpoint is torn": (lambda run: (run.folder / "checkpoint.pt").write_bytes(b"torn"), "cannot be read"),
    "an end is taken back": (
        lambda run: write_status(run.folder, run.status.model_copy(update={"state": "stopped"})),
        "was finished and is stopped",
    ),
}


@pytest.mark.parametrize("harm", HARM)
def test_the_witness_sees_what_must_not_happen(workspace: Path, trained: Run, harm: str):
    (workspace / "runs").mkdir(parents=True)
    run, seen = tiny.copy_of(trained), Witness()
    seen.look()
    assert seen.problems == []
    do, says = HARM[harm]
    do(run)
    seen.look()
    (problem,) = seen.problems
    assert run.id in problem
    assert says in problem


@pytest.mark.parametrize("state", ["running", "finished"])
def test_the_witness_sees_a_worker_too_many(workspace: Path, monkeypatch: pytest.MonkeyPatch, state: State):
    monkeypatch.setattr(witness, "GRACE_S", 0.2)
    run, seen = tiny.waiting_run(), Witness()
    keeper = StatusKeeper(run.folder)
    keeper.end(state)
    command = ["python", "-c", "import time; time.sleep(60)", "-m", "unetlab.worker", str(run.folder)]
    with psutil.Popen(command) as one, psutil.Popen(command) as other:
        tiny.wait_until(lambda: seen.look() or len(seen.problems) > 0, "it is seen", timeout_s=10)
        one.kill()
        other.kill()
    assert any(("has 2 workers" if state == "running" else "is finished and has a worker") in p for p in seen.problems)


def test_who_follows_a_run_sees_when_lines_that_it_read_are_others_now(workspace: Path, trained: Run):
    (workspace / "runs").mkdir(parents=True)
    run, tab = tiny.copy_of(trained), Tab()
    tab.look()
    assert tab.missed() == []
    write_lines(run, [lines(run)[0], *lines(run)])
    assert tab.missed() == [run.id]
