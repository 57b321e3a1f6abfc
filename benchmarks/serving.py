"""The real server in a process of its own, and tabs that are driven by hand instead of by a browser.

A tab is a websocket client that says what Streamlit's own page says, so that no browser takes a core away.
"""

import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import psutil
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ClientState_pb2 import ClientState
from streamlit.proto.Element_pb2 import Element
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetStates
from websockets.sync.client import ClientConnection, connect

ROOT = Path(__file__).resolve().parents[1]


class Tab:
    """One open tab: its own session on the server, driven by hand."""

    def __init__(self, socket: ClientConnection, page: str, query: str):
        self._socket = socket
        self._state = {"query_string": query, "page_name": page}
        self._widgets = WidgetStates()
        self._num_drawn = 0
        self.fragments: dict[str, float] = {}  # those that are polled, with their interval in seconds
        self.first = self.rerun()

    def rerun(self) -> float:
        """Seconds to the last word of a run of the whole page."""
        seconds = self._ask(ClientState(**self._state, widget_states=self._widgets))
        if self._state["page_name"] == "train" and len(self.fragments) < 2:
            raise SystemExit(
                "The Train page does not poll the run. The benchmark no longer speaks the page's language."
            )
        return seconds

    def poll(self, fragment: str) -> float:
        """Seconds to the last word of a run of one fragment, as its timer asks for it."""
        return self._ask(
            ClientState(**self._state, widget_states=self._widgets, fragment_id=fragment, is_auto_rerun=True)
        )

    def largest_fragment(self) -> str:
        """The fragment that draws the most: on the Train page, the run's panel."""
        drawn = {}
        for fragment in list(self.fragments):
            self.poll(fragment)
            drawn[fragment] = self._num_drawn
        return max(drawn, key=lambda fragment: drawn[fragment])

    def _ask(self, state: ClientState) -> float:
        began, self._num_drawn = time.perf_counter(), 0
        self._socket.send(BackMsg(rerun_script=state).SerializeToString())
        while True:
            message = ForwardMsg.FromString(self._socket.recv(timeout=60))
            kind = message.WhichOneof("type")
            if kind == "new_session" and not message.metadata.run.fragment_ids:  # the whole page
                self.fragments = {}
            elif kind == "navigation":
                self._state["page_script_hash"] = message.navigation.page_script_hash
            elif kind == "auto_rerun":
                self.fragments[message.auto_rerun.fragment_id] = message.auto_rerun.interval
            elif kind == "stop_auto_rerun":
                for fragment in message.stop_auto_rerun.fragment_ids:
                    self.fragments.pop(fragment, None)
            elif kind == "delta":
                self._num_drawn += 1
                self._take_in(message.delta.new_element)
            elif kind == "script_finished" and message.script_finished != ForwardMsg.FINISHED_EARLY_FOR_RERUN:
                return time.perf_counter() - began

    def _take_in(self, element: Element) -> None:
        if element.WhichOneof("type") == "exception":
            raise SystemExit(f"The page raised: {element.exception.message}")
        if element.WhichOneof("type") == "button_group" and element.button_group.set_value:
            # a browser says with every request what its widgets stand at; only this one decides what is drawn
            widget = self._widgets.widgets.add(id=element.button_group.id)
            widget.string_array_value.data.extend(element.button_group.raw_values)


@contextmanager
def open_tab(port: int, page: str, query: str):
    """A tab that has drawn its page once; closed as a person closes it."""
    with connect(f"ws://127.0.0.1:{port}/_stcore/stream", max_size=None) as socket:
        yield Tab(socket, page, query)


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def start_server(port: int) -> psutil.Popen:
    """The app, just started."""
    command = [sys.executable, "-m", "streamlit", "run", "app.py", f"--server.port={port}"]
    return psutil.Popen(
        command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT
    )


def is_up(port: int) -> bool:
    """Whether the server answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=1) as answer:
            return answer.read() == b"ok"
    except OSError:
        return False


@contextmanager
def served():
    """(port, process) of a server that has shown its Home page once."""
    port = free_port()
    server = start_server(port)
    try:
        while not is_up(port):
            if server.poll() is not None:
                raise SystemExit("The server ended. Run `make run` to see why.")
            time.sleep(0.05)
        with open_tab(port, "", ""):
            pass
        yield port, server
    finally:
        server.terminate()
        server.wait(15)
