"""Deleting runs, bringing them back whole, and what other runs say of one that is gone."""

import errno
import os
import time
from pathlib import Path

import pytest

from tests import tiny
from unetlab.errors import RunError, WorkspaceError
from unetlab.runs import queue, store, sweep_rate, trash
from unetlab.runs.status import write_status
from unetlab.runs.store import Run
from unetlab.workspace import own_workspace


def ended(run: Run | None = None, state: str = "finished") -> Run:
    run = run or tiny.waiting_run()
    write_status(run.folder, run.status.model_copy(update={"state": state, "ended": time.time()}))
    return run


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder but the lock."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != ".lock"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def listed() -> list[str]:
    return [run.id for run in store.list_runs(own_workspace())]


def ids(runs: list[Run]) -> list[str]:
    return sorted(run.id for run in runs)


def test_deleted_runs_are_listed_nowhere_and_come_back_with_all_they_held():
    runs, other = [ended(), ended()], ended()
    (runs[0].folder / "previews" / "epoch_000").mkdir(parents=True)
    (runs[0].folder / "previews" / "epoch_000" / "0.jpg").write_bytes(b"x" * 1000)
    before = [contents(run.folder) for run in runs]
    trash.delete(runs)
    assert listed() == [other.id]
    with pytest.raises(RunError, match="no run"):
        store.open_run(own_workspace(), runs[0].id)
    (deletion,) = trash.deletions(own_workspace())
    assert deletion.runs == sorted(run.id for run in runs)
    assert deletion.size == sum(len(content) for kept in before for content in kept.values())
    assert sorted(trash.restore(own_workspace(), deletion.runs)) == ids(runs)
    assert [contents(run.folder) for run in runs] == before
    assert listed() == sorted([*ids(runs), other.id], reverse=True)
    assert trash.deletions(own_workspace()) == []


def test_one_of_several_deletions_is_undone_the_newest_first():
    first, second = ended(), ended()
    trash.delete([first])
    trash.delete([second])
    newest, oldest = trash.deletions(own_workspace())
    assert (newest.runs, oldest.runs) == ([second.id], [first.id])
    assert trash.restore(own_workspace(), newest.runs) == [second.id]
    assert trash.deletions(own_workspace()) == [oldest]
    assert trash.restore(own_workspace(), [second.id]) == []  # by another tab, which came second


def test_a_run_whose_place_is_taken_stays_in_the_trash_and_the_others_come_back():
    runs = [ended(), ended()]
    title = runs[0].title
    trash.delete(runs)
    runs[0].folder.mkdir()
    with pytest.raises(RunError, match=f"stay in the trash: {title}"):
        trash.restore(own_workspace(), ids(runs))
    assert [deletion.runs for deletion in trash.deletions(own_workspace())] == [[runs[0].id]]
    assert runs[1].id in listed()
    runs[0].folder.rmdir()
    assert trash.restore(own_workspace(), ids(runs)) == [runs[0].id]


def test_what_was_brought_back_leaves_no_empty_folder():
    run = ended()
    trash.delete([run])
    trash.restore(own_workspace(), [run.id])
    assert list((own_workspace().runs / ".trash").iterdir()) == []


def test_a_trash_that_another_tab_empties_meanwhile_is_read_without_an_error(monkeypatch: pytest.MonkeyPatch):
    trash.delete([ended()])
    (deletion,) = trash.deletions(own_workspace())
    listdir = os.listdir
    trash.empty(own_workspace())
    with monkeypatch.context() as patch:
        patch.setattr(os, "listdir", lambda at: [deletion.folder.name] if at == deletion.folder.parent else listdir(at))
        assert trash.deletions(own_workspace()) == []
    assert (deletion.runs, deletion.titles, deletion.size) == ([], [], 0)


def test_a_deletion_tells_its_time_and_the_titles_of_its_runs():
    run = store.create_run(own_workspace(), tiny.config(), name="mine")
    trash.delete([ended(run)])
    (deletion,) = trash.deletions(own_workspace())
    assert deletion.titles == ["mine"]
    assert abs(deletion.when.timestamp() - time.time()) < 10


@pytest.mark.parametrize("state", ["queued", "running"])
def test_of_several_runs_none_is_deleted_while_one_is_live(state: str):
    live, other = ended(state=state), ended()
    with pytest.raises(RunError, match=f"is {state}. Stop it first"):
        trash.delete([other, live])
    assert set(listed()) == {live.id, other.id}
    assert trash.deletions(own_workspace()) == []


def test_a_run_that_another_tab_has_deleted_is_passed_over():
    first, second = ended(), ended()
    trash.delete([first])
    trash.delete([first, second])
    assert listed() == []
    trash.delete([first, second])
    trash.delete([])
    assert len(trash.deletions(own_workspace())) == 2


def test_a_run_that_is_started_again_at_the_same_moment_stays(monkeypatch: pytest.MonkeyPatch):
    run = ended()

    class Resumed(trash.FileLock):
        def __enter__(self):
            ended(run, "queued")  # who held the lock before
            return super().__enter__()

    monkeypatch.setattr(trash, "FileLock", Resumed)
    with pytest.raises(RunError, match="was started again"):
        trash.delete([run])
    assert listed() == [run.id]


def test_what_was_kept_for_a_week_goes_at_the_next_deletion(monkeypatch: pytest.MonkeyPatch):
    old, new = ended(), ended()
    trash.delete([old])
    now = time.time()
    monkeypatch.setattr(trash.time, "time", lambda: now + 6.9 * 24 * 3600)
    trash.delete([new])
    assert len(trash.deletions(own_workspace())) == 2
    monkeypatch.setattr(trash.time, "time", lambda: now + 7.1 * 24 * 3600)
    last = ended()
    trash.delete([last])
    (deletion,) = trash.deletions(own_workspace())
    assert deletion.runs == [last.id]
    assert list((own_workspace().runs / ".trash").iterdir()) == [deletion.folder]


def test_an_emptied_trash_holds_nothing_on_the_disk_and_leaves_runs_alone():
    kept = ended()
    trash.empty(own_workspace())  # there is none yet
    trash.delete([ended(), ended()])
    (own_workspace().runs / ".trash" / ".half-removed" / "run").mkdir(
        parents=True
    )  # of a process that was killed at it
    assert [len(deletion.runs) for deletion in trash.deletions(own_workspace())] == [2]
    trash.empty(own_workspace())
    assert list((own_workspace().runs / ".trash").iterdir()) == []
    assert listed() == [kept.id]


def test_a_disk_that_can_only_be_read_is_said(monkeypatch: pytest.MonkeyPatch):
    run = ended()

    def refuse(self: Path, target: Path) -> None:
        raise OSError(errno.EROFS, "read-only")

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(WorkspaceError, match="can only be read"):
        trash.delete([run])
    assert listed() == [run.id]


def test_a_sweep_is_not_deleted_while_a_training_waits_for_its_rate():
    sweep = ended(store.create_run(own_workspace(), tiny.config("lr_find"), name="the sweep"))
    source = {"sweep": sweep.id, "pick": "min_gradient"}
    training = store.create_run(own_workspace(), tiny.config(lr_from=source), name="the training")
    with pytest.raises(RunError, match="the sweep is needed by the training, which has not ended"):
        trash.delete([sweep])
    ended(training)
    trash.delete([sweep])
    assert listed() == [training.id]


def test_weights_are_not_deleted_while_they_are_scored():
    training = ended()
    scoring = store.create_run(own_workspace(), tiny.config("evaluate", weights_from={"run": training.id}))
    with pytest.raises(RunError, match="is needed by"):
        trash.delete([training])
    ended(scoring)
    trash.delete([training])
    assert listed() == [scoring.id]


def test_a_training_that_has_read_its_rate_does_without_its_sweep():
    sweep = tiny.finished_sweep()
    rate = {"sweep": sweep.id, "pick": "min_gradient", "lr": tiny.PICK}
    open_source = {"sweep": sweep.id, "pick": "min_gradient"}
    training = store.create_run(own_workspace(), tiny.config(lr_from=open_source))
    store.files.write_json(training.folder / "environment.json", {"lr_from": rate})
    assert training.status.is_live
    trash.delete([sweep])
    assert training.config.train.max_lr == tiny.PICK
    assert sweep_rate.resolved(training.config, training) == training.config
    queue.join(training, "cpu")
    assert queue.is_my_turn(training)


def test_a_training_that_waits_for_a_deleted_sweep_says_so_until_the_sweep_is_back():
    sweep = tiny.finished_sweep()
    paused = ended(store.create_run(own_workspace(), tiny.config(lr_from={"sweep": sweep.id, "pick": "min_gradient"})))
    trash.delete([sweep])
    with pytest.raises(RunError, match="it was deleted"):
        sweep_rate.resolved(paused.config, paused)
    trash.restore(own_workspace(), [sweep.id])
    assert sweep_rate.resolved(paused.config, paused).train.max_lr == tiny.PICK


def test_a_deletion_on_the_command_line_can_be_undone_there(tiny_set: Path):
    run = ended()
    done = tiny.said("runs", "delete", run.id)
    assert f"runs restore {run.id}" in done.stdout
    assert listed() == []
    assert tiny.told("runs", "restore", run.id) == {"run": run.id, "restored": True}
    assert listed() == [run.id]
    nothing = tiny.said("runs", "restore", run.id)
    assert nothing.returncode == 2
    assert "in the trash" in nothing.stderr
    size = sum(map(len, contents(run.folder).values()))
    trash.delete([run])
    assert tiny.told("runs", "empty-trash") == {"runs": [run.id], "bytes": size}
    assert tiny.told("runs", "empty-trash") == {"runs": [], "bytes": 0}
