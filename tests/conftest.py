"""Every test has a workspace and device locks of its own."""

import logging
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from filelock import FileLock
from hypothesis import settings

from tests import hostile, tiny
from unetlab.runs import jobs, launching
from unetlab.runs.status import process_started
from unetlab.runs.store import Run
from unetlab.workspace import own_workspace

ROOT = Path(__file__).resolve().parents[1]
TEST_DATA = Path(os.environ.get("UNETLAB_TEST_DATA") or ROOT.parent / "shared" / "data")
sys.path.insert(0, str(ROOT))
# AppTest runs scripts outside a server, which Streamlit remarks on at every call
logging.getLogger("streamlit").setLevel(logging.ERROR)
# how long one example takes says something about the machine only
settings.register_profile("unetlab", deadline=None)
settings.load_profile("unetlab")


def end_workers(home: Path) -> None:
    """Ends the workers that a test left behind in its own workspace, and reaps those that this process started."""
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        if "unetlab.worker" in command and command[-1].startswith(str(home)):
            is_own = process.ppid() == os.getpid()
            process.kill()
            if is_own:
                process.wait(10)
    launching.reap()


@pytest.fixture(autouse=True)
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """An empty `$UNETLAB_HOME`; its workers are ended afterwards."""
    home = tmp_path / "home"
    monkeypatch.setenv("UNETLAB_HOME", str(home))
    monkeypatch.setenv("UNETLAB_LOCKS", str(tmp_path / "locks"))
    yield home
    end_workers(home)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Processes of `pytest -n auto`: one a core, for each has workers, servers and a browser beside it."""
    return max(2, min(os.cpu_count() or 1, 8))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skips tests on real data sets where there are none, unless their folder was named."""
    if TEST_DATA.is_dir() or "UNETLAB_TEST_DATA" in os.environ:
        return
    for item in items:
        if item.get_closest_marker("acceptance"):
            item.add_marker(pytest.mark.skip(reason=f"no real data sets at {TEST_DATA}; set UNETLAB_TEST_DATA"))


MakeOnce = Callable[[str, Callable[[Path], None]], Path]


@pytest.fixture(scope="session")
def make_once(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> MakeOnce:
    """make_once(name, make): the folder `name` that make(folder) filled, once for all test processes of a session."""
    place = tmp_path_factory.getbasetemp()
    if hasattr(request.config, "workerinput"):  # one of several processes of pytest-xdist, below one folder
        place = place.parent
    place = place / "made-once"
    place.mkdir(exist_ok=True)

    def made(name: str, make: Callable[[Path], None]) -> Path:
        folder, mark = place / name, place / f"{name}.done"
        with FileLock(place / f"{name}.lock"):  # who comes second waits for what the first makes
            if not mark.exists():
                shutil.rmtree(folder, ignore_errors=True)  # of a process that failed at it
                folder.mkdir()
                make(folder)
                mark.touch()
        return folder

    return made


def train_in(home: Path, changes: dict | None = None, *, name: str = "") -> Run:
    """A training of `tiny` in the workspace `home`, which holds the data set, from its start to its end."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNETLAB_HOME", str(home))
        patch.setenv("UNETLAB_LOCKS", str(home / "locks"))
        patch.setenv(*tiny.ONE_THREAD)
        run = jobs.start(own_workspace(), tiny.config(changes=changes), name=name)
        assert tiny.ended(run).state == "finished", run.log_tail()
        pid = run.status.pid or 0
        tiny.wait_until(lambda: process_started(pid) is None, "its worker has left the queue and gone")
    return run


@pytest.fixture(scope="session")
def tiny_home(make_once: MakeOnce) -> Path:
    """A workspace that holds the data set `tiny` (eight pictures of 32 px). Read it, change nothing in it."""

    def make(folder: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("UNETLAB_HOME", str(folder / "home"))
            tiny.import_tiny(folder / "pairs")

    return make_once("tiny", make) / "home"


@pytest.fixture
def tiny_set(workspace: Path, tiny_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The test's own workspace with the data set `tiny` in it."""
    monkeypatch.setenv(*tiny.ONE_THREAD)
    shutil.copytree(tiny_home / "datasets", workspace / "datasets")
    return workspace


@pytest.fixture(scope="session")
def trained(make_once: MakeOnce, tiny_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A training of `tiny` that has finished, in a workspace that belongs to this process."""

    def make(folder: Path) -> None:
        shutil.copytree(tiny_home / "datasets", folder / "datasets")
        train_in(folder, name="tiny training")

    home = tmp_path_factory.mktemp("trained") / "home"
    shutil.copytree(make_once("trained", make), home)
    (folder,) = (home / "runs").iterdir()
    return Run(folder)


@pytest.fixture
def trained_home(trained: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The finished training, with its workspace as the current one. Add runs to it, take none away."""
    monkeypatch.setenv("UNETLAB_HOME", str(trained.folder.parents[1]))
    monkeypatch.setenv(*tiny.ONE_THREAD)
    return trained


@pytest.fixture
def no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Opening a page starts none."""
    from unetlab.ui import memory_forecast  # here and not above: most tests need no Streamlit

    monkeypatch.setattr(launching, "warm_up", lambda workspace: None)
    monkeypatch.setattr(memory_forecast, "draw", lambda config, data: None)


@pytest.fixture
def signals_kept() -> Iterator[None]:
    """For tests that call worker.main, which changes this process' signal handlers."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def hostile_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished training in a workspace where every name and reason is hostile. Copy it, change nothing in it."""
    folder = tmp_path_factory.mktemp("hostile")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNETLAB_HOME", str(folder / "home"))
        patch.setenv("UNETLAB_LOCKS", str(folder / "locks"))
        patch.setenv(*tiny.ONE_THREAD)
        return hostile.fill(folder / "pairs")


@pytest.fixture
def hostile_home(workspace: Path, hostile_run: Run) -> Run:
    """The hostile workspace as the test's own."""
    shutil.copytree(hostile_run.folder.parents[1], workspace, dirs_exist_ok=True)
    return Run(workspace / "runs" / hostile_run.id)
