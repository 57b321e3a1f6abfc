"""What a page or a command line does with runs, in a process that may be killed at any moment.

One order a line comes in, `{"do": "resume", "run": ID}`; one answer a line goes out: `{"said": ...}`, or
`{"refused": "..."}` for what a user is told.
"""

import contextlib
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

from tests import tiny
from unetlab.config import load_config
from unetlab.errors import UnetlabError
from unetlab.runs import freeing, jobs, launching, queue, status, warm
from unetlab.runs.store import open_run
from unetlab.workspace import own_workspace

FREE_GRACE_S = 4.0
HASTE = ((status, "START_LIMIT_S", 8.0), (warm, "TAKE_LIMIT_S", 4.0), (freeing, "KILL_AFTER_S", 1.0))
PATIENCE_S = 120.0  # nothing that is ordered may take longer


@contextmanager
def haste() -> Iterator[None]:
    """Shorter limits, so that what happens at them happens often."""
    with ExitStack() as stack:
        for module, name, seconds in HASTE:
            stack.enter_context(patch.object(module, name, seconds))
        yield


def free() -> dict[str, Any]:
    """Ends all workers; whether that is complete, and what it ended."""
    receipt = freeing.free_memory(own_workspace(), grace_s=FREE_GRACE_S)
    return {"is_complete": receipt.is_complete, "ended": [[freed.pid, freed.state] for freed in receipt.processes]}


ORDERS: dict[str, Callable[..., Any]] = {
    "start": lambda config: jobs.start(own_workspace(), load_config(config)).id,
    "pause": lambda run: jobs.pause(open_run(own_workspace(), run)),
    "stop": lambda run: jobs.stop(open_run(own_workspace(), run)),
    "resume": lambda run: jobs.resume(open_run(own_workspace(), run)),
    "move": lambda run, place: queue.move(open_run(own_workspace(), run), place),
    "free": free,
    "release": lambda: [run.id for run in freeing.release(own_workspace())],
    "warm up": lambda: launching.warm_up(own_workspace()),
}


def serve() -> None:
    """Does what it is told until its standard input ends."""
    for line in sys.stdin:
        order = json.loads(line)
        try:
            answer = {"said": ORDERS[order.pop("do")](**order)}
        except UnetlabError as error:
            answer = {"refused": str(error)}
        print(json.dumps(answer), flush=True)  # noqa: T201


class Server:
    """The other side: a server process, started again whenever it is needed and not there."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def ask(self, do: str, **order: Any) -> dict[str, Any]:
        """The answer to an order. Raises AssertionError when there is none: then it ended by an error of its own."""
        process = self._send(do, order)
        assert process.stdout is not None
        is_there, _, _ = select.select([process.stdout], [], [], PATIENCE_S)
        line = process.stdout.readline() if is_there else b""
        assert line, f"no answer to {do} {order}" + ("" if is_there else f" in {PATIENCE_S:.0f} s")
        return json.loads(line)

    def kill_while(self, do: str, *, after_s: float, **order: Any) -> None:
        """Gives an order, and kills the server `after_s` seconds later, whether it is done or not."""
        process = self._send(do, order)
        time.sleep(after_s)
        process.kill()
        self.close()

    def close(self) -> None:
        """Ends the process."""
        if self._process is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.communicate(timeout=PATIENCE_S)
            self._process = None

    def _send(self, do: str, order: dict[str, Any]) -> subprocess.Popen[bytes]:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.chaos.server"],
                cwd=tiny.ROOT,
                env=os.environ | {"PYTHONPATH": str(tiny.ROOT)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                bufsize=0,
            )
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, **order}).encode() + b"\n")
        return self._process


if __name__ == "__main__":
    with haste():
        serve()
