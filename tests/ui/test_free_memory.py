"""What freeing the memory says before and after. Oracle: what it does, in tests/runs/test_freeing.py."""

import pytest
from streamlit.testing.v1 import AppTest

from tests import tiny
from tests.ui.test_pages import home_with_run, open_page, put_into, words  # noqa: F401
from unetlab.config import RunConfig
from unetlab.options import ImportOptions
from unetlab.runs import devices, freeing, queue, store, warm
from unetlab.runs.status import write_status
from unetlab.runs.store import Run
from unetlab.ui import free_memory
from unetlab.ui.text import plain
from unetlab.workspace import own_workspace

pytestmark = pytest.mark.usefixtures("no_process")
MIB = 2**20


def asked(**running: str) -> list[str]:
    """What the dialog says; `running`: state of each kind of run that there is."""
    made = []
    for kind, state in running.items():
        config = RunConfig(kind="train", dataset="cells")
        if kind == "import":
            config = RunConfig(kind="import", dataset="", importing=ImportOptions(folder=".staging-x", name="weeds"))
        if kind == "forecast":
            config = config.changed({}, kind="forecast")
        run = store.create_run(own_workspace(), config, name=f"my *{kind}*")
        made.append((run, run.status.model_copy(update={"state": state})))
    return free_memory.ending(made, num_idle=2)


def test_before_it_names_what_it_ends_and_what_waits():
    said = asked(train="running", forecast="running")
    assert said == [
        "This ends:\n- training **my \\*train\\*** (data set cells)\n- 2 idle training processes",
        "A training run can be resumed.",
        "The queue then stays paused until you press **Resume queue**.",
    ]
    ends, kept, waits = asked(**{"import": "running", "train": "queued"})
    assert kept == "An import is cancelled."
    assert ends.startswith("This ends:\n- import **my \\*import\\*** (data set weeds)")
    assert waits == (
        "The queue is paused. These start after **Resume queue**:\n- training **my \\*train\\*** (data set cells)"
    )


def test_a_training_whose_sweep_ends_is_not_said_to_start():
    sweep = store.create_run(own_workspace(), tiny.config("lr_find"), name="sweep")
    behind = tiny.waiting_run(lr_from={"sweep": sweep.id, "pick": "min_gradient"})
    other = tiny.waiting_run()
    running, waiting = sweep.status.model_copy(update={"state": "running"}), behind.status
    _, kept, stays, starts = free_memory.ending([(sweep, running), (behind, waiting), (other, waiting)], num_idle=0)
    assert kept == "A sweep keeps its curve so far."
    name = plain(behind.title)
    assert stays == (
        "These will not train, because the sweep that sets their learning rate ends:\n"
        f"- **{name}** (data set {tiny.NAME})"
    )
    assert starts.startswith("The queue is paused. These start after **Resume queue**:\n- ")
    assert starts.count("\n") == 1
    # freed a second time, when the sweep has been stopped and the training still waits
    write_status(sweep.folder, running.model_copy(update={"state": "stopped"}))
    assert free_memory.ending([(behind, waiting)], num_idle=0)[0] == stays
    # a sweep that waits itself gives the rate later
    write_status(sweep.folder, sweep.status.model_copy(update={"state": "queued"}))
    assert name in free_memory.ending([(sweep, waiting), (behind, waiting)], num_idle=0)[0]


def test_waiting_runs_are_told_in_their_turn(monkeypatch):
    first, second, running = (tiny.waiting_run() for _ in range(3))
    for run in (first, second):
        queue.join(run, "cpu")
    queue.move(second, "first")
    put_into(running, "running")
    monkeypatch.setattr(free_memory.state, "workspace", own_workspace)
    assert [run.id for run, _ in free_memory.living()] == [running.id, second.id, first.id]


def test_a_run_without_a_name_is_called_by_its_kind_once():
    run = tiny.waiting_run()
    said = free_memory.ending([(run, run.status)], num_idle=0)
    assert said[0].endswith(f"\n- **{plain(run.title)}** (data set {tiny.NAME})")


def test_without_a_running_one_it_promises_nothing_about_runs():
    assert free_memory.ending([], num_idle=1) == [
        "This ends:\n- 1 idle training process",
        "The queue then stays paused until you press **Resume queue**.",
    ]
    assert free_memory.ending([], num_idle=0) == ["The queue then stays paused until you press **Resume queue**."]


@pytest.fixture
def freed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Counts how often the memory is freed; each time there is a receipt of two processes."""
    times: list[int] = []

    def free(workspace) -> freeing.Receipt:
        times.append(1)
        queue.hold(workspace)
        ram = [devices.Memory("cpu", "RAM", 100 * MIB, used * MIB, None) for used in (90, 20)]
        rows = [
            freeing.Freed(7, run, 60 * MIB, None, state=state)
            for run, state in ((RUNS[0], "stopped"), ("2020-01-01_gone", "deleted"), (warm.IDLE, "ended"))
        ]
        return freeing.Receipt(rows, [ram[0]], [ram[1]], is_complete=False)

    monkeypatch.setattr(freeing, "free_memory", free)
    return times


RUNS = [""]


def table(app: AppTest) -> dict[str, list[str]]:
    assert not app.exception
    frame = app.table[0].value
    return {"process": list(frame.index), **{column: list(frame[column]) for column in frame}}


def test_at_once_where_nothing_runs_and_the_receipt_names_the_runs(home_with_run: Run, freed, monkeypatch):  # noqa: F811
    RUNS[0] = home_with_run.id
    app = open_page("home")
    app.button(key="free").click().run()
    assert freed == [1]
    assert table(app)["process"] == ["tiny training (stopped)", "2020-01-01\\_gone (deleted)", "idle (ended)"]
    assert table(app)["before"] == ["63 MB"] * 3
    said = words(app)
    assert "Queue paused, so that the memory stays free." in said
    assert "A training process did not end. Look for unetlab.worker among the processes of this machine." in said
    assert app.run().button(key="release").label == "Resume queue"
    monkeypatch.setenv("UNETLAB_LOCAL", "0")
    assert "of this machine" not in words(app.run())


@pytest.mark.parametrize("state", ["running", "queued"])
def test_asks_first_where_a_run_would_be_ended_or_kept_waiting(home_with_run: Run, freed, state: str):  # noqa: F811
    put_into(home_with_run, state)
    app = open_page("home", dataset=tiny.NAME)
    app.button(key="free").click().run()
    assert not app.exception
    assert freed == []
    assert app.session_state["asks-to-free"]
    labels = [button.label for button in app.button]
    assert {"Stop and free memory", "Cancel"} <= {*labels}
