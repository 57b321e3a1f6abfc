"""Every test has a workspace and device locks of its own."""

import logging
import os
import shutil
import sys
from pathlib import Path

import psutil
import pytest

from tests import tiny
from unetlab.runs import jobs
from unetlab.runs.store import Run
from unetlab.workspace import own_workspace

ROOT = Path(__file__).resolve().parents[1]
TEST_DATA = Path(os.environ.get("UNETLAB_TEST_DATA") or ROOT.parent / "shared" / "data")
sys.path.insert(0, str(ROOT))
# AppTest runs scripts outside a server, which Streamlit remarks on at every call
logging.getLogger("streamlit").setLevel(logging.ERROR)


def end_workers(home: Path) -> None:
    """Ends the workers that a test left behind in its own workspace."""
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        if "unetlab.worker" in command and command[-1].startswith(str(home)):
            process.kill()


@pytest.fixture(autouse=True)
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """An empty `$UNETLAB_HOME`; its workers are ended afterwards."""
    home = tmp_path / "home"
    monkeypatch.setenv("UNETLAB_HOME", str(home))
    monkeypatch.setenv("UNETLAB_LOCKS", str(tmp_path / "locks"))
    yield home
    end_workers(home)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skips tests on real data sets where there are none, unless their folder was named."""
    if TEST_DATA.is_dir() or "UNETLAB_TEST_DATA" in os.environ:
        return
    for item in items:
        if item.get_closest_marker("acceptance"):
            item.add_marker(pytest.mark.skip(reason=f"no real data sets at {TEST_DATA}; set UNETLAB_TEST_DATA"))


@pytest.fixture(scope="session")
def tiny_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace that holds the data set `tiny` (eight pictures of 32 px). Read it, change nothing in it."""
    folder = tmp_path_factory.mktemp("tiny")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNETLAB_HOME", str(folder / "home"))
        tiny.import_tiny(folder / "pairs")
    return folder / "home"


@pytest.fixture
def tiny_set(workspace: Path, tiny_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The test's own workspace with the data set `tiny` in it."""
    monkeypatch.setenv(*tiny.ONE_THREAD)
    shutil.copytree(tiny_home / "datasets", workspace / "datasets")
    return workspace


@pytest.fixture(scope="session")
def trained(tiny_home: Path) -> Run:
    """A training of `tiny` that has finished, in the workspace `tiny_home`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNETLAB_HOME", str(tiny_home))
        patch.setenv("UNETLAB_LOCKS", str(tiny_home / "locks"))
        patch.setenv(*tiny.ONE_THREAD)
        run = jobs.start(own_workspace(), tiny.config(), name="tiny training")
        assert tiny.ended(run).state == "finished", run.log_tail()
    return run


@pytest.fixture
def trained_home(trained: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The finished training, with its workspace as the current one. Add runs to it, take none away."""
    monkeypatch.setenv("UNETLAB_HOME", str(trained.folder.parents[1]))
    monkeypatch.setenv(*tiny.ONE_THREAD)
    return trained
