"""Pages in Streamlit's AppTest."""

import functools
from collections.abc import Iterator
from pathlib import Path

import pytest
from streamlit.components.v2 import manifest_scanner

from tests import tiny
from unetlab.runs import launching
from unetlab.runs.store import Run


@pytest.fixture(scope="session", autouse=True)
def components_looked_for_once() -> Iterator[None]:
    """AppTest reads the metadata of all installed packages anew at every script run, in search of components: most of
    a run's time. A server does so once."""
    with pytest.MonkeyPatch.context() as patch:
        found = functools.cache(manifest_scanner.scan_component_manifests)
        patch.setattr(manifest_scanner, "scan_component_manifests", found)
        yield


@pytest.fixture
def started(no_process: None, monkeypatch: pytest.MonkeyPatch) -> list[Run]:
    """The runs that were given a worker; none really is."""
    runs: list[Run] = []
    monkeypatch.setattr(launching, "hand_over", lambda run, **_: runs.append(run))
    monkeypatch.setattr(launching, "rescue", lambda workspace: None)
    return runs


@pytest.fixture
def run(workspace: Path, trained: Run) -> Run:
    """The tiny training in a workspace of its own."""
    return tiny.copy_trained(trained, workspace)
