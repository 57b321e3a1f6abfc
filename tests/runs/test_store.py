"""Run folders: ids, events as they grow, notes, summary, deleting."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import tiny
from unetlab import files
from unetlab.config import SCHEMA_VERSION
from unetlab.errors import ConfigError, RunError
from unetlab.events import Batch, Event, Note
from unetlab.runs import store
from unetlab.runs.store import EventWriter, Notes, Run, read_events
from unetlab.workspace import own_workspace

BATCHES = [Batch(step=step, epoch=step // 3, loss=1 / (step + 1), lr=0.1, momentum=0.9) for step in range(9)]


def everything(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


def write(run: Run, *events: Event, attempt: int = 1) -> None:
    with closing(EventWriter(run, attempt=attempt)) as writer:
        for event in events:
            writer.write(event)


def end(run: Run, state: str = "finished") -> Run:
    store.write_status(run.folder, run.status.model_copy(update={"state": state}))
    return run


def test_starts_with_one_key_make_one_run_also_at_the_same_moment():
    gate = threading.Barrier(8)

    def make(_: int) -> tuple[Run, bool]:
        gate.wait()
        return store.create_once(own_workspace(), tiny.config(), key="of this press", name="once")

    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(make, range(8)))
    assert len({run.id for run, _ in made}) == 1
    assert [is_new for _, is_new in made].count(True) == 1
    assert made[0][0].notes.name == "once"
    assert store.create_once(own_workspace(), tiny.config(), key="of another press")[1]
    assert len(store.list_runs(own_workspace())) == 2


def test_a_key_whose_run_was_deleted_makes_another_and_no_key_always_makes_one():
    first, _ = store.create_once(own_workspace(), tiny.config(), key="press")
    store.delete_run(end(first))
    again, is_new = store.create_once(own_workspace(), tiny.config(), key="press")
    assert (again.folder.exists(), is_new) == (True, True)
    assert all(store.create_once(own_workspace(), tiny.config(), key="")[1] for _ in range(2))


@pytest.mark.parametrize(
    "run_id", ["..", ".", "", "/", "/etc", "a/b", "a/../..", "..\\..", ".hidden", "-rf", "a" * 81, "a\n", "a\0", "é"]
)
def test_an_id_that_is_not_one_is_refused_and_nothing_is_deleted(workspace: Path, run_id: str):
    run = end(tiny.waiting_run())
    (workspace / "precious.txt").write_text("kept")
    before = everything(workspace)
    with pytest.raises(RunError, match="is not a valid name"):
        store.delete_run(store.open_run(own_workspace(), run_id))
    assert everything(workspace) == before
    assert run.folder.is_dir()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None)
@given(st.text(max_size=100))
def test_no_text_at_all_opens_a_run_that_is_not_there(run_id: str):
    with pytest.raises(RunError):
        store.open_run(own_workspace(), run_id)


def test_a_link_out_of_the_runs_folder_is_refused(workspace: Path, tmp_path: Path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "status.json").write_text("{}")
    (own_workspace().runs / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RunError, match="is not a valid name"):
        store.open_run(own_workspace(), "link")


def test_an_unknown_run_is_refused_with_the_command_that_lists_them():
    with pytest.raises(RunError, match=r"no run 'nope'.*runs list"):
        store.open_run(own_workspace(), "nope")


def test_a_new_run_is_queued_and_says_what_was_asked_for():
    config = tiny.config(changes={"train.epochs": 7})
    run = store.create_run(own_workspace(), config, name="first", device="cuda:1")
    assert store.open_run(own_workspace(), run.id) == run
    assert run.config == config
    assert (run.status.state, run.status.device, run.status.pid) == ("queued", "cuda:1", None)
    assert run.notes == Notes(name="first")
    assert run.title == "first"


def test_two_runs_of_the_same_second_are_two_folders_whatever_numbers_they_draw(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(store.time, "strftime", lambda form: "2026-05-04T10-12-33")
    drawn = iter("aaabac")
    monkeypatch.setattr(store.secrets, "token_hex", lambda size: next(drawn))
    assert [tiny.waiting_run().id[-2:] for _ in range(3)] == ["_a", "_b", "_c"]


def test_runs_are_listed_newest_first_and_by_kind_and_data_set():
    sweep = store.create_run(own_workspace(), tiny.config("lr_find"))
    training = store.create_run(own_workspace(), tiny.config())
    ids = [run.id for run in store.list_runs(own_workspace())]
    assert ids == sorted([sweep.id, training.id], reverse=True)
    assert store.list_runs(own_workspace(), kind="lr_find") == [sweep]
    assert store.list_runs(own_workspace(), dataset=tiny.NAME, kind="train") == [training]
    assert store.list_runs(own_workspace(), dataset="other") == []


def test_a_folder_that_is_no_run_is_not_listed():
    (own_workspace().runs / "notes").mkdir()
    (own_workspace().runs / "readme.txt").write_text("mine")
    assert store.list_runs(own_workspace()) == []


def test_a_config_of_a_newer_schema_is_not_guessed_at():
    run = tiny.waiting_run()
    content = files.read_json(run.folder / "config.json")
    files.write_json(run.folder / "config.json", content | {"schema_version": SCHEMA_VERSION + 1})
    with pytest.raises(ConfigError, match="newer unetlab"):
        _ = run.config


def test_events_are_read_back_as_they_were_written():
    run = tiny.waiting_run()
    write(run, *BATCHES, Note("loss — ⌀", about={"value": float("nan")}), attempt=3)
    events, offset = read_events(run)
    assert [event["step"] for event in events[:-1]] == list(range(9))
    assert [event["loss"] for event in events[:-1]] == [batch.loss for batch in BATCHES]
    assert {event["attempt"] for event in events} == {3}
    assert (events[-1]["message"], events[-1]["about"]) == ("loss — ⌀", {"value": None})
    assert offset == (run.folder / "events.jsonl").stat().st_size


def test_an_event_is_in_the_file_as_soon_as_it_is_written():
    run = tiny.waiting_run()
    with closing(EventWriter(run, attempt=1)) as writer:
        for number, batch in enumerate(BATCHES, start=1):
            writer.write(batch)
            assert len(read_events(run)[0]) == number


def test_a_run_without_events_has_none():
    assert read_events(tiny.waiting_run(), 500) == ([], 0)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 1000), max_size=6))
def test_reading_on_from_an_offset_misses_nothing_wherever_the_file_ended(cuts: list[int]):
    run = tiny.waiting_run()
    write(run, *BATCHES)
    path = run.folder / "events.jsonl"
    whole, content = read_events(run)[0], path.read_bytes()
    found, offset = [], 0
    for cut in [*sorted(cuts), len(content)]:  # the file as it stood at some moments, mostly in the middle of a line
        path.write_bytes(content[:cut])
        more, offset = read_events(run, offset)
        found += more
    assert found == whole
    assert len(found) == len(BATCHES)


def test_a_torn_last_line_waits_for_its_end():
    run = tiny.waiting_run()
    path = run.folder / "events.jsonl"
    path.write_bytes(b'{"type": "note", "message": "a"}\n{"type": "no')
    events, offset = read_events(run)
    assert [event["message"] for event in events] == ["a"]
    with path.open("ab") as file:
        file.write(b'te", "message": "b"}\n')
    assert [event["message"] for event in read_events(run, offset)[0]] == ["b"]


def test_a_damaged_line_in_the_middle_is_passed_over():
    run = tiny.waiting_run()
    (run.folder / "events.jsonl").write_bytes(b'{"type": "a"}\n{"ty\n\xff\xfe\n[1]\n{"type": "b"}\n')
    assert [event["type"] for event in read_events(run)[0]] == ["a", "b"]


@pytest.mark.parametrize(
    ("left", "kept"),
    [
        (b'{"type": "a"}\n{"type": "b', ["a"]),
        (b'{"type": "a"}\n', ["a"]),
        (b'{"type": "a', []),
        (b"", []),
    ],
)
def test_a_writer_repairs_the_tail_that_a_kill_tore(left: bytes, kept: list[str]):
    run = tiny.waiting_run()
    path = run.folder / "events.jsonl"
    path.write_bytes(left)
    write(run, BATCHES[0], attempt=2)
    events = [json.loads(line) for line in path.read_bytes().splitlines()]
    assert [event["type"] for event in events] == [*kept, "batch"]
    assert events[-1]["attempt"] == 2


def test_notes_are_kept_and_damaged_ones_are_empty():
    run = tiny.waiting_run()
    notes = Notes(name="Käse", tags=["a", "b"], remarks="line\nline")
    run.write_notes(notes)
    assert run.notes == notes
    (run.folder / "notes.json").write_text("{")
    assert run.notes == Notes()
    assert run.title.startswith("training of ")


def test_a_summary_tells_state_place_and_best_score():
    run = end(store.create_run(own_workspace(), tiny.config(), name="mine"), "stopped")
    expected = {"run": run.id, "name": "mine", "kind": "train", "dataset": tiny.NAME, "status": "stopped"}
    assert expected.items() <= store.summary(run).items()
    assert store.summary(run)["mean_dice"] is None
    files.write_json(run.folder / "best.json", {"valid": {"mean_dice": 0.25}})
    assert store.summary(run)["mean_dice"] == 0.25


def test_a_summary_is_told_of_a_run_whose_config_cannot_be_read():
    run = end(tiny.waiting_run(), "failed")
    (run.folder / "config.json").write_text("{")
    assert (store.summary(run)["status"], store.summary(run)["kind"]) == ("failed", None)


@pytest.mark.parametrize("state", ["queued", "running"])
def test_a_live_run_is_not_deleted(state: str):
    run = end(tiny.waiting_run(), state)
    with pytest.raises(RunError, match=f"is {state}. Stop it first"):
        store.delete_run(run)
    assert run.status.state == state
    assert run.config.dataset == tiny.NAME


@pytest.mark.parametrize("state", ["finished", "stopped", "failed", "lost"])
def test_a_run_that_has_ended_is_deleted_with_all_it_holds(state: str):
    run, other = end(tiny.waiting_run(), state), tiny.waiting_run()
    (run.folder / "previews").mkdir()
    (run.folder / "previews" / "0.jpg").write_bytes(b"picture")
    store.delete_run(run)
    assert not run.folder.exists()
    assert store.list_runs(own_workspace()) == [other]


def test_the_end_of_a_log_is_shown_also_where_it_is_long_or_not_text():
    run = tiny.waiting_run()
    assert run.log_tail() == ""
    (run.folder / "worker.log").write_bytes(b"\xff\n" + b"".join(b"line %d\n" % n for n in range(1000)))
    assert run.log_tail(3).splitlines() == ["line 997", "line 998", "line 999"]
    (run.folder / "worker.log").write_bytes(b"\xffend")
    assert run.log_tail().endswith("end")
