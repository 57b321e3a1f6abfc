"""The job `import` in real workers: from files to a data set, cancelled, killed, refused; without torch."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from tests import tiny
from unetlab import files
from unetlab.data import import_task, importing
from unetlab.data.dataset import list_datasets, open_dataset
from unetlab.data.manifest import Manifest
from unetlab.errors import DataError, UnetlabError
from unetlab.options import ImportOptions
from unetlab.runs import devices, freeing, jobs, queue, status
from unetlab.runs.store import Run
from unetlab.workspace import own_workspace

MANY = 1500  # pairs: enough files to be met in the middle of copying them


def options(sources: list[Path], **changes) -> dict:
    """The options of an import into a new staging folder."""
    folder = importing.staging_folder(own_workspace()).name
    return {"sources": [str(source) for source in sources], "folder": folder} | changes


def start(sources: list[Path], **changes) -> Run:
    return jobs.start(own_workspace(), tiny.config("import", dataset="", importing=options(sources, **changes)))


def staging_of(run: Run) -> Path:
    return own_workspace().root / "datasets" / run.config.importing.folder


@contextmanager
def in_the_middle(run: Run) -> Iterator[int]:
    """The process id of a worker that is stopped, as by Ctrl-Z, while it copies; afterwards it goes on."""
    originals, deadline = staging_of(run) / "originals", time.monotonic() + tiny.PATIENCE_S
    while not originals.exists() or not next(originals.iterdir(), None):
        assert time.monotonic() < deadline
        assert run.status.is_live, f"{run.status.reason}\n{run.log_tail()}"
    pid = run.status.pid
    os.kill(pid, signal.SIGSTOP)
    try:
        assert len(list(originals.iterdir())) < 2 * MANY, "all is copied already"
        yield pid
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """MANY pairs, of which eight differ."""
    folder = tiny.write_pairs(tmp_path / "many", size=64)
    for number in range(8, MANY):
        for end in (".png", "_mask.png"):
            os.link(folder / f"{number % 8}{end}", folder / f"{number}{end}")
    return folder


def test_files_become_a_data_set_in_a_worker_that_never_loads_torch(workspace: Path, many: Path):
    run = start([many], name="cells", note="of a test")
    with in_the_middle(run) as pid:
        assert run.status.state == "running"
        assert run.status.device == devices.LANE
        assert queue.read_queue(own_workspace()).order == []
        loaded = [area.path for area in psutil.Process(pid).memory_maps()]
    assert any("numpy" in path for path in loaded), "what is loaded can be seen"
    assert not any("torch" in path for path in loaded)
    found = tiny.ended(run)
    assert (found.state, found.reason) == ("finished", ""), run.log_tail()
    assert run.log_tail() == ""
    manifest = open_dataset(own_workspace(), "cells").manifest
    assert (len(manifest.pairs), manifest.note) == (MANY, "of a test")
    assert not staging_of(run).exists()
    assert (many / "0.png").exists(), "the sources are somebody's own"
    tiny.wait_until(lambda: status.process_started(pid) is None, "the worker is gone")


def test_the_whole_import_leaves_torch_unloaded(workspace: Path, tmp_path: Path):
    tiny.write_pairs(tmp_path / "pairs")
    given = ImportOptions.model_validate(options([tmp_path / "pairs"], name="cells"))
    code = (
        "import sys\nfrom unetlab import worker\nfrom unetlab.config import ImportOptions\n"
        "from unetlab.data import import_task\nfrom unetlab.workspace import own_workspace\n"
        "given = ImportOptions.model_validate_json(sys.argv[1])\n"
        "hooks = {'on_progress': lambda *_: None, 'should_stop': lambda: False}\n"
        "assert not import_task.run_import(own_workspace(), given, **hooks)\n"
        "print(*sorted(name.partition('.')[0] for name in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, given.model_dump_json()], cwd=tiny.ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "numpy" in done.stdout.split()
    assert not {"torch", "torchvision", "streamlit"} & set(done.stdout.split())
    assert len(open_dataset(own_workspace(), "cells").manifest.pairs) == 8


def test_without_a_name_it_ends_with_the_report_and_goes_on_from_it(workspace: Path, tmp_path: Path):
    run = start([tiny.write_pairs(tmp_path / "pairs")])
    assert tiny.ended(run).state == "finished", run.status.reason
    assert list_datasets(own_workspace()) == []
    report = Manifest.model_validate(files.read_json(staging_of(run) / "manifest.json"))
    assert len(report.pairs) == 8
    again = jobs.start(
        own_workspace(),
        tiny.config(
            "import",
            dataset="",
            importing={
                "folder": run.config.importing.folder,
                "choices": {"excluded": [report.pairs[0].image]},
                "name": "cells",
            },
        ),
    )
    assert tiny.ended(again).state == "finished", again.status.reason
    assert [pair.image for pair in open_dataset(own_workspace(), "cells").manifest.pairs] == [
        pair.image for pair in report.pairs[1:]
    ]


def test_a_cancelled_import_leaves_nothing(workspace: Path, many: Path):
    run = start([many], name="cells")
    with in_the_middle(run):
        jobs.stop(run)
    found = tiny.ended(run)
    assert (found.state, found.reason) == ("stopped", "Cancelled: nothing was imported.")
    assert not staging_of(run).exists()
    assert list_datasets(own_workspace()) == []


def test_a_terminated_import_leaves_nothing(workspace: Path, many: Path):
    run = start([many], name="cells")
    with in_the_middle(run) as pid:
        os.kill(pid, signal.SIGTERM)
    assert tiny.ended(run).state == "stopped"
    assert not staging_of(run).exists()
    assert list_datasets(own_workspace()) == []


def test_a_killed_import_is_lost_and_what_it_left_is_swept(workspace: Path, many: Path):
    run = start([many], name="cells")
    with in_the_middle(run) as pid:
        os.kill(pid, signal.SIGKILL)
    assert tiny.ended(run).state == "lost"
    assert staging_of(run).exists()
    tiny.wait_until(
        lambda: importing.sweep_staging(own_workspace()) or not staging_of(run).exists(), "the sweep", timeout_s=10
    )
    assert not staging_of(run).exists()
    assert list_datasets(own_workspace()) == []


def test_freeing_the_memory_stops_an_import(workspace: Path, many: Path):
    run = start([many], name="cells")
    with in_the_middle(run) as pid:
        pass
    receipt = freeing.free_memory(own_workspace(), grace_s=60)
    assert receipt.is_complete
    assert [(freed.pid, freed.run, freed.state) for freed in receipt.processes] == [(pid, run.id, "stopped")]
    assert not queue.read_queue(own_workspace()).is_held
    assert not staging_of(run).exists()


def test_what_the_user_can_mend_is_said_in_one_sentence(workspace: Path, tmp_path: Path):
    run = start([tmp_path / "nowhere"], name="cells")
    found = tiny.ended(run)
    assert found.state == "failed"
    assert not found.is_bug
    assert "nowhere" in found.reason
    assert "Traceback" not in run.log_tail()
    assert not staging_of(run).exists()


def run_here(given: dict, **changes) -> bool:
    hooks = {"on_progress": lambda phase, done, total: None, "should_stop": lambda: False} | changes
    return import_task.run_import(own_workspace(), ImportOptions.model_validate(given), **hooks)


def test_a_taken_name_fails_the_import_and_keeps_the_report(tiny_set: Path, tmp_path: Path):
    given = options([tiny.write_pairs(tmp_path / "pairs")], name=tiny.NAME)
    with pytest.raises(DataError, match="There is a data set 'tiny' already"):
        run_here(given)
    assert (tiny_set / "datasets" / given["folder"] / "manifest.json").exists()
    assert run_here(given | {"sources": [], "name": "other"}) is False
    assert len(open_dataset(own_workspace(), "other").manifest.pairs) == 8


def test_a_report_with_errors_is_kept_and_not_committed(workspace: Path, tmp_path: Path):
    folder = tiny.write_pairs(tmp_path / "pairs", count=1)
    given = options([folder], name="cells")
    assert run_here(given) is False
    report = Manifest.model_validate(files.read_json(workspace / "datasets" / given["folder"] / "manifest.json"))
    assert "error" in {finding.severity for finding in report.findings}
    assert list_datasets(own_workspace()) == []


def test_a_failure_or_stop_on_the_way_to_a_second_report_keeps_the_first(workspace: Path, tmp_path: Path):
    given = options([tiny.write_pairs(tmp_path / "pairs")])
    assert run_here(given) is False
    staging = workspace / "datasets" / given["folder"]
    first = (staging / "manifest.json").read_bytes()
    later = given | {"sources": []}
    with pytest.raises(UnetlabError):
        run_here(later | {"reading": "no-such-reading"})
    with pytest.raises(DataError, match=r"The choice .*valid_fraction.*'many'"):
        run_here(later | {"choices": {"valid_fraction": "many"}})
    assert run_here(later, should_stop=lambda: True) is True
    assert (staging / "manifest.json").read_bytes() == first
    assert len(list((staging / "originals").iterdir())) == 16


def names_of(name: str) -> list[str]:
    return [pair.image for pair in open_dataset(own_workspace(), name).manifest.pairs]


def test_pictures_are_added_to_a_data_set_and_a_stop_adds_none(tiny_set: Path, tmp_path: Path):
    more = tiny.write_pairs(tmp_path / "more", count=12)
    for number in range(8):  # the set has these
        (more / f"{number}.png").unlink()
        (more / f"{number}_mask.png").unlink()
    given = {"folder": tiny.NAME, "sources": [str(more)]}
    before = names_of(tiny.NAME)
    steps = iter(range(1000))
    assert run_here(given, should_stop=lambda: next(steps) > 12) is True
    assert next(steps) > 12, "it was stopped in the middle"
    assert names_of(tiny.NAME) == before
    assert len(list((tiny_set / "datasets" / tiny.NAME / "originals").iterdir())) == 16
    assert run_here(given) is False
    assert len(names_of(tiny.NAME)) == 12
    assert open_dataset(own_workspace(), tiny.NAME).manifest.version == 2
    assert not list((tiny_set / "datasets").glob(".staging-*"))


def test_decisions_about_a_data_set_change_in_the_same_way(tiny_set: Path):
    first, second, *_ = names_of(tiny.NAME)
    for excluded in (first, second):
        assert run_here({"folder": tiny.NAME, "choices": {"excluded": [excluded]}}) is False
    assert not {first, second} & set(names_of(tiny.NAME))
    assert run_here({"folder": tiny.NAME, "choices": {"excluded": None}, "name": "ignored"}) is False
    assert {first, second} <= set(names_of(tiny.NAME))
    assert [manifest.name for manifest in list_datasets(own_workspace())] == [tiny.NAME]


def test_a_choice_that_is_none_is_refused_before_anything_is_copied(workspace: Path, tmp_path: Path):
    given = options([tiny.write_pairs(tmp_path / "pairs")], choices={"seeed": 1})
    with pytest.raises(DataError, match=r"The choice seeed = 1 is not allowed"):
        run_here(given)
    assert not (workspace / "datasets" / given["folder"]).exists()


def test_progress_tells_phases_with_their_counts(workspace: Path, tmp_path: Path):
    told: list[tuple[str, int, int]] = []
    run_here(options([tiny.write_pairs(tmp_path / "pairs")]), on_progress=lambda *step: told.append(step))
    assert len({phase for phase, _, _ in told}) >= 2
    for phase in {phase for phase, _, _ in told}:
        counts = [(done, total) for name, done, total in told if name == phase]
        assert counts == sorted(counts)
        assert all(0 <= done <= total for done, total in counts)


def test_memory_that_runs_out_is_said_in_a_sentence(workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def too_much(*arguments: object, **more: object) -> None:
        raise MemoryError

    monkeypatch.setattr(importing, "stage_into", too_much)
    given = options([tmp_path])
    with pytest.raises(DataError, match="memory of this machine ran out"):
        run_here(given)
    assert not (workspace / "datasets" / given["folder"]).exists()


def test_an_import_that_was_stopped_before_it_began_touches_nothing(workspace: Path, tmp_path: Path):
    source = tiny.write_pairs(tmp_path / "pairs")
    before = sorted(path.name for path in source.iterdir())
    run = start([source], name="cells")
    run.ask_to_stop()
    found = tiny.ended(run)
    assert found.state == "stopped"
    assert list_datasets(own_workspace()) == []
    assert sorted(path.name for path in source.iterdir()) == before
    shutil.rmtree(source)
