"""What the button on Home does by itself: the sample, a sweep, and the training behind it."""

import pytest

from tests.ui.test_pages import follow, open_page, words
from unetlab.data import samples
from unetlab.data.dataset import open_dataset
from unetlab.data.samples import make_nuclei
from unetlab.runs import launching
from unetlab.runs.store import list_runs
from unetlab.ui import journey
from unetlab.workspace import own_workspace


@pytest.mark.usefixtures("no_process")
def test_one_press_makes_the_sample_and_queues_a_sweep_and_the_training_behind_it(monkeypatch: pytest.MonkeyPatch):
    handed = []
    monkeypatch.setattr(launching, "hand_over", lambda run, **_: handed.append(run))
    app = open_page("home")
    follow(next(button for button in app.button if button.label == "Try it on the sample").click().run())
    assert not app.exception
    assert app.title[0].value == "Learning rate"
    assert len(open_dataset(own_workspace(), "sample").manifest.pairs) == len(make_nuclei())
    (training,) = list_runs(own_workspace(), dataset="sample", kind="train")
    (sweep,) = list_runs(own_workspace(), dataset="sample", kind="lr_find")
    assert training.config.lr_from.sweep == sweep.id
    assert handed == [sweep, training]


@pytest.mark.usefixtures("no_process")
def test_home_says_how_long_the_sample_takes_once_this_machine_has_shown_its_pace(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(journey, "measured_pace", lambda where, config: None)
    assert "shows after the first steps" in words(open_page("home"))
    samples.create_sample(own_workspace())
    monkeypatch.setattr(journey, "measured_pace", lambda where, config: (0.5, None))
    # 100 steps of the sweep and 20 epochs of 4
    assert "About 1 min 30 s at the pace measured here." in words(open_page("home"))
