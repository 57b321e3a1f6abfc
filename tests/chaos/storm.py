"""Kills, pauses, frees, resumes and restarts at random moments, then calm: everything is resumed until it is finished.

Oracle: the same trainings, each alone and never interrupted.
"""

import contextlib
import os
import random
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import psutil

from tests import tiny
from tests.chaos.outcome import TRAININGS, outcome, unbroken
from tests.chaos.server import Server, haste
from tests.chaos.witness import GRACE_S, Tab, Watch, Witness, all_runs
from unetlab.config import RunConfig
from unetlab.data import importing
from unetlab.runs import devices, freeing, jobs, queue, warm
from unetlab.runs.status import LIVE, Status
from unetlab.runs.store import Run, open_run
from unetlab.workspace import own_workspace

SWEEP = {"lr_find.num_steps": 100, "lr_find.repeats": 2}
CHECKPOINT_S = "0.3"
MAX_UNFINISHED = 3  # trainings: more would only wait for one another
LONGEST_PAUSE_S = 3.0  # between two acts
LONGEST_SUSPENSION_S = 2.5
SERVER_KILLS = 1 / 8  # of all orders
DISK_BYTES = 120_000  # a checkpoint has 90,000 to 110,000, a log up to 80,000
PROGRESS_S = 240.0  # in the calm a run ends at least so often
WEIGHTS = {  # how often each act is drawn
    "start a training": 4,
    "start another job": 2,
    "resume": 8,
    "pause": 2,
    "stop": 1,
    "move": 2,
    "free": 1,
    "release": 2,
    "warm up": 3,
    "kill": 3,
    "terminate": 1,
    "suspend": 3,
    "fill the disk": 3,
}


def is_training(run: Run) -> bool:
    """Whether it has come to its steps: there is most to be lost."""
    return run.config.kind == "train" and run.status.phase not in ("", "waiting for the device", "starting torch")


def fits_to(act: str, status: Status) -> bool:
    """Whether a run in this state is one for which the act is meant."""
    return status.state not in (*LIVE, "finished") if act == "resume" else status.is_live


class Storm:
    """A seeded stream of acts on the runs of a workspace. `acts`: what was done so far, for who looks for the cause."""

    def __init__(self, folder: Path, seed: int) -> None:
        self._random, self._folder = random.Random(seed), folder
        self._server, self._witness, self._tab = Server(), Witness(), Tab()
        self._trainings: dict[str, int] = {}  # run id -> which of TRAININGS
        # (when, what, call): what ends a suspension or a full disk
        self._later: list[tuple[float, str, Callable[[], None]]] = []
        self._began = time.monotonic()
        self.acts: list[str] = []

    def rage(self, seconds: float) -> None:
        """Acts for so long, then calms down and compares. Raises AssertionError with what was found."""
        with haste(), contextlib.closing(self._server):
            watch = Watch(self._witness.look, self._tab.look)
            try:
                deadline = time.monotonic() + seconds
                while time.monotonic() < deadline:
                    if self._act():
                        self._wait(self._random.random() ** 2 * LONGEST_PAUSE_S)
                    self._raise_problems(watch)
                self._calm(watch)
            finally:
                watch.close()
                for _, _, end in self._later:
                    end()
            self._raise_problems(watch)

    def _note(self, text: str) -> None:
        self.acts.append(f"{time.monotonic() - self._began:7.2f} s  {text}")

    def _raise_problems(self, watch: Watch) -> None:
        problems = watch.problems + self._witness.problems
        assert not problems, "\n".join(problems)

    def _act(self) -> bool:
        """Draws an act and does it; whether there was somebody to whom it could be done."""
        act = self._random.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        if act in ("kill", "terminate", "suspend", "fill the disk"):
            return self._strike(act)
        if (order := self._order(act)) is None:
            return False
        self._give(*order)
        return True

    def _order(self, act: str) -> tuple[str, dict[str, Any]] | None:
        """What the server is told; None where there is nobody to whom this could be done."""
        if act == "start a training":
            unfinished = [
                run_id for run_id in self._trainings if open_run(own_workspace(), run_id).status.state != "finished"
            ]
            which = self._random.randrange(len(TRAININGS))
            return None if len(unfinished) >= MAX_UNFINISHED else ("start", self._training(which))
        if act == "start another job":
            config = self._random.choice([self._sweep, self._import, self._preview])()
            return "start", {"config": config.model_dump(mode="json")}
        if act in ("pause", "stop", "resume", "move"):
            runs = [run for run in all_runs() if act == "stop" or run.config.kind == "train"]
            # one time in ten to one in the wrong state: it is refused, and must not change anything
            fits = {run.id for run in runs if fits_to(act, run.status)}
            chosen = fits if self._random.random() < 0.9 else {run.id for run in runs}
            place = {"place": self._random.choice(["first", "up", "down"])} if act == "move" else {}
            return (act, {"run": self._random.choice(sorted(chosen)), **place}) if chosen else None
        return act, {}

    def _training(self, which: int) -> dict[str, Any]:
        return {"config": tiny.config(changes=TRAININGS[which]).model_dump(mode="json")}

    def _sweep(self) -> RunConfig:
        return tiny.config("lr_find", SWEEP)

    def _import(self) -> RunConfig:
        options = {
            "sources": [str(self._folder / "pictures")],
            "folder": importing.staging_folder(own_workspace()).name,
        }
        return tiny.config("import", dataset="", importing=options)

    def _preview(self) -> RunConfig:
        return tiny.config("preview", preview={"indices": [0, 1]})

    def _give(self, do: str, order: dict[str, Any]) -> None:
        """Gives an order; now and then the server is killed over it."""
        told = " ".join([do, order["config"]["kind"]] if do == "start" else [do, *order.values()])
        if self._random.random() < SERVER_KILLS:
            after_s = self._random.random() ** 2 * 1.5
            self._note(f"{told}, and the server is killed {after_s:.2f} s later")
            self._server.kill_while(do, after_s=after_s, **order)
        else:
            answer = self._server.ask(do, **order)
            self._note(f"{told}: {answer}")
            if do == "free" and "said" in answer:
                assert answer["said"]["is_complete"], "freeing was not complete"
                assert freeing.worker_pids(own_workspace()) == {}, "freeing left workers"
        self._find_trainings()

    def _find_trainings(self) -> None:
        """Takes in every training there is, also one whose starter was killed before it said its name."""
        for run in all_runs():
            if run.config.kind == "train" and run.id not in self._trainings:
                has_dropout = run.config.model.dropout > 0
                self._trainings[run.id] = 0 if has_dropout else 1

    def _strike(self, act: str) -> bool:
        """Does something to a worker from outside, as the system would; whether there is one."""
        workers = {
            pid: run_id
            for pid, run_id in freeing.worker_pids(own_workspace()).items()
            if pid not in self._witness.excused
        }
        training = [
            pid
            for pid, run_id in workers.items()
            if run_id != warm.IDLE and is_training(open_run(own_workspace(), run_id))
        ]
        pids = training if training and self._random.random() < 0.7 else list(workers)
        if not pids:
            return False
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(self._random.choice(sorted(pids)))
            self._note(f"{act} {process.pid} ({workers[process.pid]})")
            if act == "kill":
                process.kill()
            elif act == "terminate":
                process.terminate()
            elif act == "suspend":
                self._suspend(process)
            elif sys.platform == "linux":
                self._fill_disk(process)
        return True

    def _suspend(self, process: psutil.Process) -> None:
        self._witness.excused.add(process.pid)

        def go_on() -> None:
            with contextlib.suppress(psutil.Error):
                process.resume()
            self._witness.excused.discard(process.pid)

        process.suspend()
        self._put_off(self._random.random() ** 2 * LONGEST_SUSPENSION_S, f"{process.pid} goes on", go_on)

    def _fill_disk(self, process: psutil.Process) -> None:
        """No file of the worker may grow beyond some size; what it writes at its size limit is torn."""
        _, most = process.rlimit(resource.RLIMIT_FSIZE)
        limit = self._random.randrange(DISK_BYTES)

        def give_room() -> None:
            with contextlib.suppress(psutil.Error):
                process.rlimit(resource.RLIMIT_FSIZE, (most, most))

        process.rlimit(resource.RLIMIT_FSIZE, (limit, most))
        self._put_off(self._random.random() * 1.5, f"{process.pid} has room again, it had {limit} bytes", give_room)

    def _put_off(self, seconds: float, what: str, call: Callable[[], None]) -> None:
        self._later.append((time.monotonic() + seconds, what, call))

    def _wait(self, seconds: float) -> None:
        """Waits, and ends meanwhile what was to end."""
        deadline = time.monotonic() + seconds
        while True:
            for entry in [entry for entry in self._later if entry[0] <= time.monotonic()]:
                self._later.remove(entry)
                entry[2]()
                self._note(entry[1])
            if time.monotonic() >= deadline:
                return
            time.sleep(0.01)

    def _calm(self, watch: Watch) -> None:
        """Resumes until all is finished, and compares each training with the one that nobody interrupted."""
        self._note("calm")
        self._wait(LONGEST_SUSPENSION_S)
        self._server.ask("release")
        self._find_trainings()
        deadline, unfinished = time.monotonic() + PROGRESS_S, len(self._trainings) + 1
        while True:
            self._raise_problems(watch)
            ended = [run for run in all_runs() if not run.status.is_live]
            left = [
                run_id for run_id in self._trainings if open_run(own_workspace(), run_id).status.state != "finished"
            ]
            if not left and len(ended) == len(all_runs()):
                break
            if len(left) < unfinished:
                deadline, unfinished = time.monotonic() + PROGRESS_S, len(left)
            assert time.monotonic() < deadline, (
                f"these do not end: {[run.id for run in jobs.live_runs(own_workspace())]} of {left}"
            )
            for run in ended:
                if run.id in left:
                    self._note(f"resume {run.id}: {self._server.ask('resume', run=run.id)}")
            time.sleep(0.1)
        self._note("all finished")
        tiny.wait_until(
            lambda: set(freeing.worker_pids(own_workspace()).values()) <= {warm.IDLE}, "only idle workers are left"
        )
        assert queue.read_queue(own_workspace()) == queue.Queue(), "somebody waits though all have ended"
        with queue.device_lock(devices.lock_key("cpu")).acquire(timeout=GRACE_S):
            pass
        missed = self._tab.missed()
        assert not missed, f"who followed from the start has seen something else: {missed}"

    def differing(self, expected: list[tuple[Any, ...]]) -> list[str]:
        """Trainings that did not come out as the unbroken one did."""
        found = []
        for run_id, which in self._trainings.items():
            run = open_run(own_workspace(), run_id)
            if outcome(run) != expected[which] or (run.folder / "checkpoint.pt").exists():
                found.append(run_id)
        return found


def rage(folder: Path, *, seed: int, seconds: float) -> Storm:
    """A storm of so many seconds in the workspace `folder`/home, then calm; all of it is checked.

    Raises AssertionError with the seed, what was found, and what was done. Returns the storm.
    """
    environment = {
        "UNETLAB_HOME": str(folder / "home"),
        "UNETLAB_LOCKS": str(folder / "locks"),
        "UNETLAB_CHECKPOINT_S": CHECKPOINT_S,
        "OMP_NUM_THREADS": "1",
    }
    with patch.dict(os.environ, environment):
        expected = unbroken(folder)
        tiny.import_tiny(folder / "more pictures")
        storm = Storm(folder, seed)
        try:
            storm.rage(seconds)
            differing = storm.differing(expected)
            assert not differing, f"not as the unbroken training: {differing}"
        except AssertionError as error:
            done = "\n".join(storm.acts)
            raise AssertionError(f"seed {seed}, in {folder}:\n{error}\nWhat was done:\n{done}") from None
        finally:
            for pid in freeing.worker_pids(own_workspace()):
                with contextlib.suppress(psutil.Error):
                    psutil.Process(pid).kill()
    return storm
