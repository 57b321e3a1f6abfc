"""Advice on the page: what is read, and what one click starts."""

import json
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from tests import tiny
from tests.ui.test_pages import open_page, put_into, words
from unetlab.files import write_json
from unetlab.runs import jobs
from unetlab.runs.store import Run, list_runs
from unetlab.training.threads import slow_steps
from unetlab.ui import advice, watching
from unetlab.ui.history import history_of
from unetlab.workspace import own_workspace

pytestmark = pytest.mark.usefixtures("started")

LATE = 4e9  # after the epochs that the run has logged
SAID = {"type": "note", "message": "Training in fp32 on cpu.", "about": {"precision": "fp32"}, "time": LATE}
BLACK = {
    "type": "note",
    "message": "The model predicts “a_b” for every pixel.\nThe rate is too high.\nLower it.",
    "about": {
        "code": "black-mask",
        "cause": "learning-rate",
        "changes": {"train.max_lr": 0.0033, "train.loss": "dice", "train.batch_size": 3},
        "page": "pages/lab/learning_rate.py",
    },
    "time": LATE + 60,
}
MASKS = BLACK | {"message": "The masks hold one class.", "about": {"changes": {}, "page": "pages/lab/data.py"}}
WAIT = SAID | {"message": "Wait.", "about": {"code": "black-mask", "changes": {}, "page": None}}


def page_of(run: Run, notes: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> AppTest:
    """The train page on the run, with nothing in its panel but the notes."""
    placed = [note | {"at_step": 12} for note in notes]

    def draw(run: Run, status: Any) -> None:
        advice.draw(run, placed)
        advice.told(run, placed)

    monkeypatch.setattr(watching, "draw", draw)
    app = open_page("train", dataset=tiny.NAME, run=run.id)
    app.session_state["train-view"] = "Chosen run"
    return app.run()


def clicks(app: AppTest) -> list[Any]:
    return [button for button in app.button if button.key and button.key.startswith("advice-")]


def links(app: AppTest) -> list[str]:
    return [link.proto.label for link in app.get("page_link") if link.proto.label in advice.PAGE_WORDS.values()]


def test_advice_stands_above_what_was_merely_said_and_names_the_changes(run, monkeypatch):
    app = page_of(run, [SAID, BLACK, WAIT], monkeypatch)
    assert not app.exception
    said = words(app)
    assert "**The model predicts “a\\_b” for every pixel.**" in said
    assert "The rate is too high.  \nLower it." in said
    assert "proposed: learning rate (maximum) 0.02 → 0.0033, loss cross\\_entropy+dice → dice" in said
    assert "atch size" not in said.partition("proposed:")[2].partition("\n")[0]  # it is 3 already
    told = next(caption.value for caption in app.caption if "fp32 on cpu" in caption.value)
    told = [line[len("10:02, ") :] for line in told.splitlines()]
    assert told == ["step 12 · Training in fp32 on cpu.  ", "step 12 · Wait."]
    assert [button.label for button in clicks(app)] == ["Train with these changes"]
    assert links(app) == ["Find the learning rate"]


def test_the_mark_of_a_note_is_red_where_it_advises_something_and_the_line_is_explained(run, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        watching.run_charts, "loss_chart", lambda *_, notes, **__: drawn.append(notes) or {"mark": "line"}
    )
    app = open_page("train", dataset=tiny.NAME, run=run.id)
    app.session_state["train-view"] = "Chosen run"
    assert "dotted line" not in words(app.run())
    resumed = SAID | {"message": "Resumes from its checkpoint at step 2.", "about": {"step": 2}}
    with (run.folder / "events.jsonl").open("a") as file:
        file.writelines(json.dumps(note | {"attempt": 1}) + "\n" for note in (resumed, BLACK))
    assert "dotted line: a note" in words(app.run())
    assert drawn[-1]["message"].tolist()[-2:] == [resumed["message"], "The model predicts “a_b” for every pixel."]
    assert drawn[-1]["is_advice"].tolist()[-2:] == [False, True]


def test_after_a_sweep_no_advice_sends_to_the_sweep(run, started, monkeypatch):
    tiny.finished_sweep().folder.rename(run.folder.with_name(f"1{run.id[1:]}"))
    assert links(page_of(run, [BLACK], monkeypatch)) == []


def test_a_click_starts_the_run_with_the_changes_and_goes_to_it(run, started, monkeypatch):
    app = page_of(run, [BLACK], monkeypatch)
    clicks(app)[0].click().run()
    assert not app.exception
    assert len(started) == 1
    config = started[0].config
    assert app.session_state["run"] == started[0].id
    assert app.session_state["train-view"] == "Chosen run"
    assert (config.train.max_lr, config.train.loss, config.lr_source) == (0.0033, "dice", f"advice of {run.id}")
    assert (config.kind, config.form_from) == ("train", run.id)
    assert (
        config.changed(
            {"train.max_lr": 0.02, "train.loss": "cross_entropy+dice"}, lr_from=None, lr_source="typed", form_from=None
        )
        == run.config
    )
    assert started[0].notes.name == "learning rate (maximum) 0.02 → 0.0033, loss cross_entropy+dice → dice"
    assert not run.has_stop


def test_a_run_that_still_trains_is_stopped_first(run, started, monkeypatch):
    put_into(run, "running")
    app = page_of(run, [BLACK], monkeypatch)
    assert [button.label for button in clicks(app)] == ["Stop, and train with these changes"]
    clicks(app)[0].click().run()
    assert not app.exception
    assert run.has_stop
    assert [new.id for new in started] == [app.session_state["run"]]


def test_changes_that_cannot_be_made_stop_and_start_nothing_and_say_why(run, started, monkeypatch):
    put_into(run, "running")
    before = [each.id for each in list_runs(own_workspace())]
    app = page_of(run, [BLACK | {"about": {"changes": {"train.max_lr": 1e9}}}], monkeypatch)
    clicks(app)[0].click().run()
    assert not app.exception
    assert "must be above 0 and at most 100, not 1e+09" in words(app)
    assert not run.has_stop
    assert started == []
    assert [each.id for each in list_runs(own_workspace())] == before


def test_an_offer_of_one_thread_is_taken_with_a_click_once_while_the_run_lives(run, started, monkeypatch):
    note = SAID | vars(slow_steps(0.1, 0.31))
    app = page_of(run, [note], monkeypatch)
    assert "3.1 times as long" in words(app)
    assert clicks(app) == [], "it has ended"
    put_into(run, "running")
    app = page_of(run, [note], monkeypatch)
    (button,) = clicks(app)
    assert (button.label, button.disabled, jobs.has_one_thread(run)) == ("Go on with one thread", False, False)
    button.click().run()
    assert not app.exception
    assert jobs.has_one_thread(run)
    assert clicks(app)[0].disabled
    assert (run.has_stop, run.has_pause, started) == (False, False, [])


def test_advice_without_changes_has_a_link_and_no_button(run, monkeypatch):
    app = page_of(run, [MASKS], monkeypatch)
    assert "The masks hold one class." in words(app)
    assert clicks(app) == []
    assert links(app) == ["Check the masks"]


def test_nothing_said_draws_nothing(run, monkeypatch):
    app = page_of(run, [], monkeypatch)
    assert not app.exception
    assert (clicks(app), links(app)) == ([], [])


def epoch(number: int, *dice: float) -> dict[str, Any]:
    """The event of an epoch (from 0), which ends 10 s after the one before."""
    return {"epoch": number, "time": 100.0 + 10 * number, "dice": dict(zip("abc", dice, strict=False))}


def note_at(number: int, cause: str = "imbalance") -> dict[str, Any]:
    """A note of a black mask, told just before its epoch is logged."""
    about = BLACK["about"] | {"cause": cause}
    return BLACK | {"time": 99.0 + 10 * number, "about": about}


BACK = {"type": "note", "message": "Again.", "about": {"code": "black-mask-gone"}}
DARK, FINE = (0.9, 0.0), (0.9, 0.4)


@pytest.mark.parametrize(
    ("scores", "backs", "since"),
    [
        ([DARK, FINE, FINE], [], 2),
        ([DARK, DARK, FINE], [], 3),
        ([FINE, DARK, FINE], [], 3),
        ([DARK, FINE, DARK], [], None),  # it came again
        ([DARK], [], None),
        ([FINE], [], None),  # the epoch that the note speaks of
        ([DARK, DARK, DARK], [1], 2),  # a class that is too rare to have a score was predicted again
        ([DARK, FINE, DARK], [1], 2),
        ([], [], None),
    ],
)
def test_a_note_is_taken_back_by_a_later_note_or_by_the_scores_of_the_last_epochs(scores, backs, since):
    epochs = [epoch(number, *dice) for number, dice in enumerate(scores)]
    notes = [note_at(0), *(BACK | {"time": 99.5 + 10 * number} for number in backs)]
    said = "" if since is None else f"Epoch 1: The model predicts “a_b” for every pixel; gone since epoch {since}."
    assert advice.taken_back(notes[0], notes, epochs) == said
    assert (advice.standing(notes, epochs) is None) == (since is not None)


def test_a_note_that_came_again_is_not_taken_back_by_what_took_back_the_first():
    epochs = [epoch(number, *dice) for number, dice in enumerate([DARK, FINE, DARK, DARK])]
    notes = [note_at(0), BACK | {"time": 109.5}, note_at(2)]
    assert advice.standing(notes, epochs) == notes[2]


def test_what_is_wrong_with_the_masks_is_not_taken_back_and_other_notes_never_are():
    epochs = [epoch(0, *DARK), epoch(1, *FINE)]
    masks, said = note_at(0, "masks"), SAID | {"time": 99.0}
    assert advice.taken_back(masks, [masks], epochs) == advice.taken_back(said, [said], epochs) == ""
    assert advice.standing([note_at(0), masks, said], epochs) == masks


def test_what_was_taken_back_is_a_quiet_line_without_a_button(run, monkeypatch):
    put_into(run, "running")
    early = history_of(run).epochs[0]["time"] - 0.1
    back = BACK | {"time": history_of(run).epochs[1]["time"] - 0.01}
    app = page_of(run, [BLACK | {"time": early}, back], monkeypatch)
    assert not app.exception
    assert (clicks(app), links(app)) == ([], [])
    assert "· Epoch 1: The model predicts “a\\_b” for every pixel; gone since epoch 2." in words(app)
    assert "Again." not in words(app)


def test_a_run_whose_rate_was_swept_is_not_sent_to_the_sweep(run, monkeypatch):
    config = run.read("config.json")
    source = {"sweep": "s", "pick": "valley", "lr": config["train"]["max_lr"]}
    write_json(run.folder / "config.json", config | {"lr_from": source})
    app = page_of(run, [BLACK], monkeypatch)
    assert len(clicks(app)) == 1
    assert links(app) == []
