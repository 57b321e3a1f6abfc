"""Every test has a workspace and device locks of its own."""

import logging
import os
import sys
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).resolve().parents[1]
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


@pytest.fixture(scope="session")
def test_data() -> Path:
    """Real data sets for tests marked `acceptance`: $UNETLAB_TEST_DATA, by default ../shared/data."""
    folder = Path(os.environ.get("UNETLAB_TEST_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.fail(f"{folder} is not there. Set UNETLAB_TEST_DATA to the folder with the real data sets.")
    return folder
