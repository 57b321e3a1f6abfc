"""Results opens with the verdict: its sentence, its numbers, and one click on; empty masks are listed apart."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from tests import tiny
from tests.ui.test_pages import follow, open_page, put_into, rewrite, words
from unetlab.files import write_json
from unetlab.runs import jobs
from unetlab.runs.store import Run, create_run, list_runs
from unetlab.ui import state, verdicts
from unetlab.ui.history import history_of
from unetlab.workspace import own_workspace

pytestmark = pytest.mark.usefixtures("started")


def score(run: Run, dice: float, *, accuracy: float = 0.95) -> None:
    """Writes other scores into the run's evaluation."""
    evaluation = run.read("evaluation.json")
    rewrite(run, "evaluation.json", valid=evaluation["valid"] | {"mean_dice": dice, "pixel_accuracy": accuracy})


def card(app: AppTest) -> list[str]:
    """What the verdict says, line by line."""
    assert not app.exception
    said = [element.value for element in app.markdown]
    first = next(number for number, text in enumerate(said) if text.startswith("#### "))
    return said[first : first + 3]


def click(app: AppTest) -> Any:
    """The verdict's button, the only primary one; None without one."""
    found = [button for button in app.button if button.key and button.key.startswith("verdict-")]
    primary = [button.label for button in app.button if button.proto.type == "primary"]
    assert primary == [button.label for button in found]
    return found[0] if found else None


def test_a_run_of_few_steps_is_told_so_and_a_click_starts_the_longer_one_and_opens_it(run, started):
    score(run, 0.5)
    app = open_page("results", dataset=tiny.NAME, run=run.id)
    headline, numbers, _ = card(app)
    steps = history_of(run).epochs[-1]["step"]
    assert headline == f"#### :material/lightbulb: {steps} steps are too few."
    assert "mean Dice 0.500 (1 is perfect), pixel accuracy 0.950" in numbers
    assert "Next run: epochs 2 → 200" in words(app)
    app.session_state["train-view"] = "New training"
    click(app).click().run()
    assert not app.title, "another page is asked for"
    follow(app)
    assert not app.exception
    (new,) = started
    assert (new.config.train.epochs, new.config.form_from) == (200, run.id)
    assert new.notes.name == "epochs 2 → 200"
    assert [title.value for title in app.title] == ["Train"]
    assert (app.session_state["run"], app.session_state["train-view"]) == (new.id, "Chosen run")


def test_a_longer_run_that_gained_nothing_is_not_lengthened_again(run):
    longer = Run(Path(shutil.copytree(run.folder, run.folder.with_name(f"{run.id}-longer"))))
    config = run.config.changed({"train.epochs": 4}, form_from=run.id)
    write_json(longer.folder / "config.json", config.model_dump(mode="json"))
    path = longer.folder / "events.jsonl"
    *logged, last = [json.loads(line) for line in path.read_text().splitlines() if '"type": "epoch"' in line]
    path.write_text("".join(json.dumps(event) + "\n" for event in (*logged, last | {"step": 2 * last["step"]})))
    score(run, 0.5)
    score(longer, 0.6)
    data = state.dataset_of(longer)
    assert verdicts.outcome_of(longer, longer.read("evaluation.json"), data).earlier == (2, 0.5)
    assert verdicts.verdict(verdicts.outcome_of(longer, longer.read("evaluation.json"), data)).cause == "few-steps"
    score(longer, 0.51)
    app = open_page("results", dataset=tiny.NAME, run=longer.id)
    assert card(app)[0].startswith("#### :material/lightbulb: Weak")
    shutil.rmtree(run.folder)
    assert verdicts.outcome_of(longer, longer.read("evaluation.json"), data).earlier is None


def test_masks_of_one_class_are_named_before_anything_that_depends_on_them(run):
    score(run, 0.1)
    message = "The training masks hold only “background”.\nThe model learns what they show.\nCheck them."
    about = {"code": "black-mask", "cause": "masks", "changes": {}, "page": "pages/lab/data.py"}
    note = {"type": "note", "message": message, "about": about, "time": 4e9, "attempt": 1}
    path = run.folder / "events.jsonl"
    path.write_text(path.read_text() + json.dumps(note) + "\n")
    app = open_page("results", dataset=tiny.NAME, run=run.id)
    assert card(app)[0].endswith("The training masks hold only “background”.")
    assert click(app).label == "Check the masks"


def test_a_good_run_on_few_pictures_leads_to_the_split_on_the_data_page(run):
    score(run, 0.93)
    app = open_page("results", dataset=tiny.NAME, run=run.id)
    count = len(run.read("evaluation.json")["pictures"])
    assert f"{count} validation pictures are too few to be sure" in card(app)[0]
    button = click(app)
    assert button.label == "Change the split"
    follow(button.click().run())
    assert [title.value for title in app.title] == ["Data"]
    assert app.slider(key=f"share-{tiny.NAME}").value == 20
    assert app.button(key="change-split").label == button.label


def test_a_set_with_given_folders_is_added_to_and_not_split_anew(run):
    score(run, 0.93)
    version = run.read("environment.json")["content_hash"]
    path = own_workspace().datasets / tiny.NAME / "versions" / f"{version}.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"is_given_split": True}))
    button = click(open_page("results", dataset=tiny.NAME, run=run.id))
    assert button.label == "Add pictures"


def test_a_good_run_on_many_pictures_is_good_and_another_seed_says_how_good(run, started):
    score(run, 0.93)
    pictures = run.read("evaluation.json")["pictures"] * 10
    rewrite(run, "evaluation.json", pictures=[picture | {"mean_dice": 0.93} for picture in pictures])
    app = open_page("results", dataset=tiny.NAME, run=run.id)
    assert card(app)[0] == "#### :material/check_circle: Good: mean Dice 0.930."
    assert "Next run: seed 0 → 1" in words(app)
    click(app).click().run()
    config = started[0].config
    assert config == run.config.changed({"train.seed": 1}, form_from=run.id)
    again = Run(Path(shutil.copytree(run.folder, run.folder.with_name(f"{run.id}-again"))))
    write_json(again.folder / "config.json", config.model_dump(mode="json"))
    score(run, 0.91)
    app = open_page("results", dataset=tiny.NAME, run=again.id)
    assert "With another seed mean Dice was 0.910: so much of it is chance." in card(app)[2]
    assert click(app) is None


def test_a_run_no_better_than_the_baseline_is_offered_what_its_alarm_proposes_while_that_holds(run, started):
    baseline = run.read("evaluation.json")["majority_share"]
    score(run, 0.1, accuracy=baseline)
    about = {"code": "black-mask", "cause": "learning-rate", "changes": {"train.max_lr": 0.002}, "page": None}
    note = {
        "type": "note",
        "message": "Black.\nThe rate is too high.\nLower it.",
        "about": about,
        "time": 4e9,
        "attempt": 1,
    }
    path = run.folder / "events.jsonl"
    path.write_text(path.read_text() + json.dumps(note) + "\n")
    app = open_page("results", dataset=tiny.NAME, run=run.id)
    headline, numbers, do = card(app)
    assert headline.endswith("The model is not better than the baseline.")
    assert f"Baseline (“background” everywhere): mean Dice 0.000, pixel accuracy {baseline:.3f}." in numbers
    assert "The rate is too high." in do
    assert "Next run: learning rate (maximum) 0.02 → 0.002" in words(app)
    click(app).click().run()
    assert (started[0].config.train.max_lr, started[0].config.lr_source) == (0.002, f"advice of {run.id}")


def test_a_run_that_was_stopped_within_its_first_epoch_is_resumed_from_its_verdict(run, monkeypatch):
    resumed = []
    monkeypatch.setattr(verdicts.jobs, "resume", resumed.append)
    score(run, 0.5)
    put_into(run, "stopped")
    path, planned = run.folder / "events.jsonl", history_of(run).epochs[-1]["step"]
    logged = [json.loads(line) for line in path.read_text().splitlines()]
    cut = next(place for place, event in enumerate(logged) if event["type"] == "epoch")
    path.write_text("".join(json.dumps(event) + "\n" for event in (*logged[:cut], logged[cut] | {"step": 1})))
    state.st.cache_resource.clear()
    app = open_page("results", dataset=tiny.NAME, run=run.id)
    assert card(app)[0] == f"#### :material/lightbulb: Stopped after 1 of {planned} steps."
    assert [button.label for button in app.button if "Resume" in button.label] == ["Resume and watch"]
    assert "Stopped on request" not in words(app)
    click(app).click().run()
    follow(app)
    assert [title.value for title in app.title] == ["Train"]
    assert ([each.id for each in resumed], app.session_state["train-view"]) == ([run.id], "Chosen run")


def test_what_the_outcome_holds_is_what_was_measured(run):
    evaluation, data = run.read("evaluation.json"), state.dataset_of(run)
    facts = verdicts.outcome_of(run, evaluation, data)
    assert facts.baseline == pytest.approx(evaluation["majority_share"])
    assert facts.background == data.class_names[0] == facts.largest
    assert sum(facts.truth.values()) == pytest.approx(1)
    assert (facts.steps, facts.steps_per_epoch) == (len(tiny.losses(run)), len(tiny.losses(run)) // 2)
    assert (facts.is_stopped, facts.is_swept, facts.earlier, facts.alarm) == (False, False, None, None)
    assert facts.options["train.epochs"] == 2
    assert len(facts.epoch_dice) == 2
    assert facts.num_pictures == len(facts.picture_dice) == len(data.indices("valid"))


def test_a_picture_with_an_empty_mask_is_not_the_worst_but_listed_with_what_was_predicted_in_it(run):
    data, evaluation = state.dataset_of(run), run.read("evaluation.json")
    first, second = data.indices("valid")[:2]
    version = run.read("environment.json")["content_hash"]
    for path in (data.folder / "manifest.json", data.folder / "versions" / f"{version}.json"):
        manifest = json.loads(path.read_text())
        for index in (first, second):
            manifest["pairs"][index]["class_pixels"] = [1024, 0]
        path.write_text(json.dumps(manifest))
    name = "tile_of_a_long_survey_of_the_northern_field_2026_camera_7_exposure_3"
    changed = {first: {"mean_dice": 0.0, "pixel_accuracy": 612 / 1024, "name": name},
               second: {"mean_dice": None, "pixel_accuracy": 1.0}}  # fmt: skip
    pictures = [picture | changed.get(picture["index"], {}) for picture in evaluation["pictures"]]
    rewrite(run, "evaluation.json", pictures=pictures)
    app = open_page("results", dataset=tiny.NAME, run=run.id)
    assert not app.exception
    said = words(app)
    assert "**2 pictures have an empty mask**" in said
    assert "1 predicted empty too, 1 with pixels predicted." in said
    assert "…" in said
    assert "412 px predicted where nothing is" in said
    assert (name in said, "· Dice 0.000" in said) == (False, False)
    facts = verdicts.outcome_of(run, run.read("evaluation.json"), state.dataset_of(run))
    assert (facts.num_pictures, len(facts.picture_dice)) == (len(pictures), len(pictures) - 2)


def test_a_class_name_of_several_lines_stays_within_its_line(run):
    score(run, 0.5)
    rewrite(run, "evaluation.json", class_names=["back\n\nground", "fore"])
    card_of_run = run.read("best.json")
    rewrite(run, "best.json", classes=[card_of_run["classes"][0] | {"name": "back\n\nground"}])
    facts = verdicts.outcome_of(run, run.read("evaluation.json"), state.dataset_of(run))
    assert facts.background == facts.largest == "back ground"
    assert "(“back ground” everywhere)" in card(open_page("results", dataset=tiny.NAME, run=run.id))[1]


def test_long_names_of_the_worst_pictures_are_shortened(run):
    pictures = run.read("evaluation.json")["pictures"]
    name = f"survey_{'x' * 60}_17"
    rewrite(run, "evaluation.json", pictures=[picture | {"name": name} for picture in pictures])
    said = words(open_page("results", dataset=tiny.NAME, run=run.id))
    assert "survey\\_xxxxxxxxx…xxxxxxxxxxxx\\_17" in said
    assert "x" * 60 not in said


def test_without_its_data_set_a_run_still_has_its_verdict(run):
    score(run, 0.93)
    shutil.rmtree(own_workspace().datasets)
    app = open_page("results", run=run.id)
    assert [each.id for each in list_runs(own_workspace())] == [run.id]
    assert not app.exception


def test_a_run_that_was_scored_again_is_judged_without_steps(run):
    evaluation = create_run(own_workspace(), jobs.start(own_workspace(), run.config).config)
    shutil.copy(run.folder / "evaluation.json", evaluation.folder)
    facts = verdicts.outcome_of(evaluation, evaluation.read("evaluation.json"), None)
    assert (facts.steps, facts.epoch_dice, facts.background) == (0, [], None)


def test_a_rate_of_ones_own_after_a_sweep_counts_as_measured(run, monkeypatch):
    assert not verdicts.outcome_of(run, run.read("evaluation.json"), None).is_swept
    monkeypatch.setattr(verdicts.sweep_rate, "was_swept", lambda asked: asked.id == run.id)
    assert verdicts.outcome_of(run, run.read("evaluation.json"), None).is_swept


def test_a_run_whose_data_set_was_deleted_is_not_started_again(run):
    score(run, 0.5)
    assert click(open_page("results", dataset=tiny.NAME, run=run.id)).label == "Train with these changes"
    shutil.rmtree(own_workspace().datasets)
    app = open_page("results", run=run.id)
    assert card(app)[0].endswith("steps are too few.")
    assert click(app) is None
    assert app.button(key="again").disabled
