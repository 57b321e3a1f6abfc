"""What freeing the memory says before and after. Oracle: what it does, in tests/runs/test_freeing.py."""

import pytest
from streamlit.testing.v1 import AppTest

from tests import tiny
from tests.ui.test_pages import home_with_run, open_page, put_into, words  # noqa: F401
from unetlab.config import RunConfig
from unetlab.options import ImportOptions
from unetlab.runs import devices, freeing, queue, store, warm
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
        "A training run can be resumed. A sweep keeps its curve so far. An import is cancelled.",
        "The queue then stays paused until you press **Resume queue**.",
    ]
    ends, _, waits = asked(**{"import": "running", "train": "queued"})
    assert ends.startswith("This ends:\n- import **my \\*import\\*** (data set weeds)")
    assert waits == (
        "The queue is paused. These start after **Resume queue**:\n- training **my \\*train\\*** (data set cells)"
    )


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
