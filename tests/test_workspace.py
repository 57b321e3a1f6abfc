"""The workspace is the same folder for page, command line and worker, and one sentence says why it cannot be used."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from tests import tiny
from unetlab.errors import WorkspaceError
from unetlab.runs import jobs
from unetlab.workspace import Workspace, open_workspace, own_workspace

APP = str(tiny.ROOT / "app.py")


def command(cwd: Path, home: str, *arguments: object) -> subprocess.CompletedProcess:
    """`python -m unetlab ...` as somebody in the folder `cwd` types it."""
    return subprocess.run(
        [sys.executable, "-m", "unetlab", *map(str, arguments)],
        cwd=cwd,
        env=os.environ | {"UNETLAB_HOME": home, "HOME": str(cwd), "PYTHONPATH": str(tiny.ROOT)},
        capture_output=True,
        text=True,
        timeout=tiny.PATIENCE_S,
    )


@pytest.mark.parametrize("home", ["lab", "./a/../lab", "~/lab"])
def test_command_line_worker_and_page_mean_the_same_folder(home: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    tiny.write_pairs(tmp_path / "pairs")
    done = command(tmp_path, home, "data", "import", "pairs", "--name", "cells")  # by a worker, from another folder
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "lab" / "datasets" / "cells" / "manifest.json").exists()
    assert not {"lab", "~", "a"} & {path.name for path in tiny.ROOT.iterdir()}

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("UNETLAB_HOME", home)
    app = AppTest.from_file(APP, default_timeout=30).run()
    assert not app.exception
    assert app.session_state["dataset"] == "cells"


def test_a_workspace_is_not_changed_by_another_one_that_is_opened_later(tmp_path: Path, tiny_home: Path):
    """One process may serve several: nothing is taken from the environment once a workspace is open."""
    first, second = open_workspace(tmp_path / "first"), open_workspace(tmp_path / "second")
    for workspace in (first, second):
        shutil.copytree(tiny_home / "datasets", workspace.datasets, dirs_exist_ok=True)
    runs = [jobs.start(workspace, tiny.config()) for workspace in (first, second)]
    assert [tiny.ended(run).state for run in runs] == ["finished", "finished"]
    assert [run.folder.parent for run in runs] == [first.runs, second.runs]
    assert not list(own_workspace().runs.iterdir())


def refused(done: subprocess.CompletedProcess, folder: Path, why: str) -> None:
    """One sentence that names the folder, the reason and the variable; exit code 2."""
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert "Traceback" not in done.stderr
    assert f"The workspace {folder} cannot be used: {why}" in " ".join(done.stderr.split())
    assert "UNETLAB_HOME" in done.stderr


@pytest.mark.parametrize(
    ("home", "why"), [("a-file", "it is a file"), ("a-file/below", "it lies below a file")], ids=["file", "below"]
)
def test_a_file_in_the_way_is_said_in_a_sentence(home: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "a-file").write_text("mine")
    refused(command(tmp_path, home, "runs", "list"), tmp_path / home, why)
    monkeypatch.setenv("UNETLAB_HOME", str(tmp_path / home))
    app = AppTest.from_file(APP, default_timeout=30).run()
    assert not app.exception
    said = app.error[0].value.replace("\\", "")  # it is escaped, as all text from outside
    assert why in said
    assert "UNETLAB_HOME" in said
    assert (tmp_path / "a-file").read_text() == "mine"


ON_A_DISK = """
set -e
mount -t tmpfs -o size=2048k tmpfs "$UNETLAB_HOME"
mkdir "$UNETLAB_HOME/runs"
cp -r "$DATASETS" "$UNETLAB_HOME/datasets"
if [ "$DISK" = full ]; then cat /dev/zero > "$UNETLAB_HOME/ballast" 2> /dev/null || true
else mount -o remount,ro "$UNETLAB_HOME"; fi
code=0; "$@" || code=$?
ls -A "$UNETLAB_HOME/runs" > "$OUT"
exit $code
"""


@pytest.mark.parametrize(
    ("asked", "disk", "why"),
    [
        ("train", "full", "its disk is full"),
        ("train", "read-only", "its disk can only be read"),
        ("data sample", "read-only", "its disk can only be read"),
    ],
)
def test_a_disk_that_takes_no_byte_is_said_in_a_sentence_and_no_half_run_stays(
    asked: str, disk: str, why: str, tmp_path: Path, tiny_home: Path, workspace: Path
):
    workspace.mkdir()
    arguments = ["train", tiny.NAME, *tiny.sets()] if asked == "train" else asked.split()
    done = subprocess.run(
        [*tiny.own_mounts(), "sh", "-c", ON_A_DISK, "sh", sys.executable, "-m", "unetlab", *arguments],
        cwd=tiny.ROOT,
        env=os.environ | {"OUT": str(tmp_path / "left"), "DISK": disk, "DATASETS": str(tiny_home / "datasets")},
        capture_output=True,
        text=True,
        timeout=tiny.PATIENCE_S,
    )
    refused(done, workspace, why)
    assert (tmp_path / "left").read_text() == ""


def test_an_error_that_is_not_about_the_disk_is_left_as_it_is(tmp_path: Path):
    with pytest.raises(ConnectionResetError), Workspace(tmp_path).writing():
        raise ConnectionResetError
    (tmp_path / "file").touch()
    with pytest.raises(WorkspaceError), Workspace(tmp_path).writing():
        (tmp_path / "file" / "below").mkdir()
