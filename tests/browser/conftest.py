"""A real server on a free port, which tests share, and a real Chromium. Screenshots of every test go to artifacts/."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import ROOT, end_workers
from unetlab.data.importing import import_dataset
from unetlab.data.samples import make_nuclei
from unetlab.workspace import open_workspace

CHROMIUM = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")  # the first does half the work
FLAGS = [
    "--no-sandbox",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-gpu",
    "--disable-dev-shm-usage",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder drives a browser."""
    for item in items:
        if "tests/browser" in str(item.path):
            item.add_marker(pytest.mark.browser)


# what Streamlit's server logs of a tab that was closed while it connected: this exception, or several in a chain
LOST_TAB = re.compile(
    r"Exception in ASGI application\n"
    r"(Traceback .*\n(  .*\n)+starlette\.websockets\.WebSocketDisconnected: .*\n(\nDuring handling .*\n\n)?)+"
)


def has_exception(log: str) -> bool:
    """Whether a server's log has one, but for that of a lost tab."""
    return "Traceback" in LOST_TAB.sub("", log)


@dataclass
class Server:
    """A running app: its address, workspace and process."""

    url: str
    home: Path
    process: subprocess.Popen
    log: Path

    def has_failed(self, since: int = 0) -> bool:
        """Whether the log has an exception in it, from a byte on."""
        return has_exception(self.log.read_bytes()[since:].decode())

    def stop(self) -> None:
        """Ctrl-C, then by force."""
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(5)


def start_server(
    home: Path,
    *options: str,
    port: int | None = None,
    command: Sequence[str] = (),
    script: str = "app.py",
    cwd: Path = ROOT,
    **environ: str,
) -> Server:
    """The app on 127.0.0.1 with `home` as its workspace; returns once it answers.

    `options`: Streamlit's flags. `command`: what starts it, streamlit itself by default.
    """
    command = command or (sys.executable, "-m", "streamlit", "run", script)
    if port is None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
    home.mkdir(parents=True, exist_ok=True)
    log = home.parent / f"server-{port}.log"
    environment = {
        **os.environ,
        "UNETLAB_HOME": str(home),
        "UNETLAB_LOCKS": str(home.parent / "locks"),
        "OMP_NUM_THREADS": "1",  # Chromium and the server want a core too: docs/experiments.md, "Threads"
        "PYTHONPATH": str(ROOT),  # for scripts of tests
        **environ,
    }
    with log.open("ab") as output:
        process = subprocess.Popen(
            [*command, f"--server.port={port}", *options],
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        assert process.poll() is None, f"the server ended: {log.read_text()}"
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=1) as answer:
                if answer.read() == b"ok":
                    return Server(f"http://127.0.0.1:{port}", home, process, log)
        except OSError:
            time.sleep(0.1)
    pytest.fail(f"the server did not answer within 30 s: {log.read_text()}")


def import_small_sample(home: Path) -> None:
    """The sample with fewer and smaller pictures: what is trained at the defaults is trained in a tenth of the time."""
    write_nuclei(home.parent / "nuclei", count=16, size=32)
    import_dataset(open_workspace(home), [home.parent / "nuclei"], name="sample")


def write_nuclei(folder: Path, *, count: int, size: int) -> tuple[list[Path], list[Path]]:
    """Picture and mask files that differ in name by an affix, as people have them."""
    pictures, masks = [], []
    for name, picture, mask in make_nuclei(count=count, size=size, seed=3):
        for path, pixels, found in (
            (folder / "pictures" / f"{name}.png", picture, pictures),
            (folder / "masks" / f"{name}_mask.png", mask, masks),
        ):
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
            found.append(path)
    return pictures, masks


def link(name: Path, folder: Path) -> None:
    """Makes `name` a link to `folder`, at once for whoever reads it."""
    folder.mkdir(parents=True, exist_ok=True)
    draft = name.with_name(f"{name.name}-next")
    draft.symlink_to(folder)
    draft.replace(name)


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose workspace and locks are links: every script run of a page asks anew where they lead."""
    place = tmp_path_factory.mktemp("server")
    for name in ("home", "locks"):
        link(place / name, place / f"no-{name}")
    running = start_server(place / "home")
    yield running
    running.stop()


@pytest.fixture
def server(shared_server: Server, tmp_path: Path) -> Iterator[Server]:
    """The server that tests share, over a workspace of the test's own. Afterwards its workers are ended, and what it
    has logged meanwhile is free of tracebacks."""
    place, seen = shared_server.home.parent, shared_server.log.stat().st_size
    for name in ("home", "locks"):
        link(place / name, tmp_path / name)
    yield replace(shared_server, home=tmp_path / "home")
    end_workers(tmp_path / "home")
    assert not shared_server.has_failed(since=seen), shared_server.log.read_text()


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Server]:
    """A fresh server of the test's own, which it may stop."""
    running = start_server(tmp_path / "home")
    yield running
    running.stop()
    end_workers(running.home)
    assert not running.has_failed(), running.log.read_text()


@pytest.fixture(scope="session")
def chromium():
    """Debian's Chromium, driven by playwright. Skipped where it lacks, but never in CI."""
    sync_api = pytest.importorskip("playwright.sync_api") if not os.environ.get("CI") else None
    if sync_api is None:
        from playwright import sync_api
    path = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if path is None:
        message = "no Chromium on this machine: apt-get install chromium-headless-shell, or chromium"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    sync_api.expect.set_options(
        timeout=30_000
    )  # other tests run beside: 5 s can be too few for a page's first script run
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def new_page(chromium, request: pytest.FixtureRequest):
    """Opens tabs, each a session of its own; no tab may have had an error or shown an exception."""
    tabs, errors = [], []

    def open_tab(width: int = 1280, theme: str = "light"):
        context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=theme)
        tab = context.new_page()
        tab.set_default_timeout(30_000)
        tab.on("pageerror", lambda error: errors.append(str(error)))
        tabs.append(tab)
        return tab

    yield open_tab
    folder = ROOT / "artifacts"
    folder.mkdir(exist_ok=True)
    for number, tab in enumerate(tabs):
        tab.screenshot(path=folder / f"{request.node.name}-{number}.png")
        assert tab.get_by_test_id("stException").count() == 0
        tab.context.close()
    assert errors == []
