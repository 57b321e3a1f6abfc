"""Looks at a workspace again and again, and says what must not have happened.

Nothing is taken from what the runs were asked to do: only from what lies on the disk and which processes live.
"""

import json
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from safetensors.numpy import load_file

from unetlab import files
from unetlab.config import LANE_KINDS
from unetlab.runs import freeing, jobs, store
from unetlab.runs.queue import Queue
from unetlab.runs.store import Run, read_events, summary
from unetlab.workspace import own_workspace

GRACE_S = 10.0  # a worker that has said its last word has so long to be gone, on a machine that is busy
POLL_S = 0.1


def all_runs() -> list[Run]:
    """Every run of the workspace, ended imports and previews among them."""
    lane = [run for kind in LANE_KINDS for run in store.list_runs(own_workspace(), kind=kind)]
    return list({run.id: run for run in [*store.list_runs(own_workspace()), *lane]}.values())


class RunWitness:
    """What was seen of one run, and `problems` where what is seen now does not go with it."""

    def __init__(self, run: Run) -> None:
        self.run, self.problems = run, []
        self._is_training = run.config.kind == "train"
        self._log = b""  # all whole lines
        self._step, self._attempt = -1, 1  # of the last line
        self._kept: dict[Path, object] = {}  # weights that exist, and the file they were when last looked at
        self._checkpoint_step, self._checkpoint_seen = 0, None
        self._is_finished = False
        self._last_attempt = 1

    def look(self) -> None:
        """One look at all of the run folder."""
        self._look_at_status()
        self._look_at_checkpoint()  # before the log: its steps are logged before it is taken
        self._look_at_log()
        if self._checkpoint_step > self._step + 1:
            self._say(f"its checkpoint is at step {self._checkpoint_step}, its log ends at step {self._step}")
        for name in ("best.safetensors", "last.safetensors"):
            self._look_at_weights(self.run.folder / name)

    def _say(self, problem: str) -> None:
        self.problems.append(f"{self.run.id}: {problem}")

    def _look_at_status(self) -> None:
        status = self.run.status
        if self._is_finished and status.state != "finished":
            self._say(f"was finished and is {status.state}")
        if status.attempt < self._last_attempt:
            self._say(f"was at attempt {self._last_attempt} and is at {status.attempt}")
        if status.state == "failed" and "File too large" not in status.reason:
            self._say(f"failed though the disk was not full: {status.reason}")
        self._is_finished, self._last_attempt = status.state == "finished", status.attempt

    def _look_at_log(self) -> None:
        path = self.run.folder / "events.jsonl"
        content = path.read_bytes() if path.exists() else b""
        whole = content[: content.rfind(b"\n") + 1]
        if not whole.startswith(self._log):
            self._say(f"its log had {len(self._log)} bytes and does not begin with them any more")
        for line in whole[len(self._log) :].splitlines():
            self._take_in(line)
        self._log = whole

    def _take_in(self, line: bytes) -> None:
        try:
            event = json.loads(line)
        except ValueError:
            self._say(f"a line of its log is no JSON: {line!r}")
            return
        if event["attempt"] < self._attempt:
            self._say(f"attempt {event['attempt']} writes after attempt {self._attempt}")
        if event["type"] == "batch" and self._is_training:
            is_next = event["step"] == self._step + 1
            goes_back = event["step"] <= self._step and event["attempt"] > self._attempt
            if not (is_next or goes_back):
                self._say(f"step {event['step']} of attempt {event['attempt']} is logged after step {self._step}")
            # only a step moves the attempt on: the notes at its begin come before the step that goes back
            self._step, self._attempt = event["step"], event["attempt"]

    def _look_at_checkpoint(self) -> None:
        path = self.run.folder / "checkpoint.pt"
        try:
            if (seen := _identity(path)) == self._checkpoint_seen:
                return
            content = torch.load(path, map_location="cpu", weights_only=True)
        except FileNotFoundError:
            return
        except Exception as error:  # torch.load raises whatever the damaged bytes lead to
            self._say(f"its checkpoint cannot be read: {error}")
            return
        step = content["position"]["step"]
        if step < self._checkpoint_step:
            self._say(f"its checkpoint was at step {self._checkpoint_step} and is at {step}")
        self._checkpoint_step, self._checkpoint_seen = step, seen

    def _look_at_weights(self, path: Path) -> None:
        try:
            if (seen := _identity(path)) != self._kept.get(path):
                load_file(path)
                self._kept[path] = seen
        except FileNotFoundError:
            if path in self._kept:
                self._say(f"{path.name} is gone")
        except Exception as error:  # safetensors raises whatever the damaged bytes lead to
            self._say(f"{path.name} cannot be read: {error}")


class Witness:
    """Looks at all runs, the queue and the processes. `problems` is empty as long as all is well.

    `excused`: processes that are suspended and cannot do what is expected of them.
    """

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.excused: set[int] = set()
        self._runs: dict[str, RunWitness] = {}
        self._since: dict[str, float] = {}

    def look(self) -> None:
        """One look at everything."""
        listed = {run.id: run for run in all_runs()}
        for run_id, run in listed.items():
            self._runs.setdefault(run_id, RunWitness(run))
        self.problems += [f"{run_id}: is not listed any more" for run_id in self._runs.keys() - listed.keys()]
        for seen in [self._runs[run_id] for run_id in listed]:
            seen.look()
            self.problems += seen.problems
            seen.problems.clear()
        self._look_at_queue()
        self._look_at_processes(listed)

    def _look_at_queue(self) -> None:
        path = own_workspace().root / "queue.json"
        if path.exists():
            Queue.model_validate(files.read_json(path))

    def _look_at_processes(self, listed: Iterable[str]) -> None:
        """What may be so for a moment, and must not stay so."""
        pids, lasting = freeing.worker_pids(own_workspace()), set()
        for seen in [self._runs[run_id] for run_id in listed]:
            own = {pid for pid, run_id in pids.items() if run_id == seen.run.id}
            if own & self.excused:
                continue
            status = seen.run.status
            if len(own) > 1:
                lasting.add(f"{seen.run.id}: has {len(own)} workers")
            if own and not status.is_live:
                lasting.add(f"{seen.run.id}: is {status.state} and has a worker")
            if own and status.is_live and not status.is_responding:
                lasting.add(f"{seen.run.id}: its worker does not respond")
        now = time.monotonic()
        self._since = {what: self._since.get(what, now) for what in lasting}
        self.problems += [f"{what}, for {GRACE_S:.0f} s now" for what, at in self._since.items() if now - at > GRACE_S]


class Tab:
    """Somebody who follows all runs: reads on where the last look ended, and carries stops on as every page does."""

    def __init__(self) -> None:
        self._offsets: dict[str, int] = {}
        self._seen: dict[str, list[dict[str, Any]]] = {}

    def look(self) -> None:
        """What a page reads at a rerun."""
        jobs.live_runs(own_workspace())
        for run in all_runs():
            summary(run)
            found, self._offsets[run.id] = read_events(run, self._offsets.get(run.id, 0))
            self._seen.setdefault(run.id, []).extend(found)

    def missed(self) -> list[str]:
        """Runs of which it has seen something else than who reads them now, at once."""
        self.look()
        return [
            run_id
            for run_id, seen in self._seen.items()
            if seen != read_events(store.open_run(own_workspace(), run_id))[0]
        ]


class Watch:
    """Threads that look again and again. An error while looking is a problem too."""

    def __init__(self, *looks: Callable[[], None]) -> None:
        self.problems: list[str] = []
        self._is_over = threading.Event()
        self._threads = [threading.Thread(target=self._look, args=(look,)) for look in looks]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Ends the looking."""
        self._is_over.set()
        for thread in self._threads:
            thread.join()

    def _look(self, look: Callable[[], None]) -> None:
        while not self._is_over.wait(POLL_S):
            try:
                look()
            except Exception:
                self.problems.append(traceback.format_exc())
                return


def _identity(path: Path) -> tuple[int, int, int]:
    """Differs when the file was replaced or written to."""
    found = path.stat()
    return found.st_ino, found.st_mtime_ns, found.st_size
