"""What was measured of a training -> the verdict and the one run to do next."""

from dataclasses import replace
from typing import Any

import pytest

from unetlab.config import RunConfig, option_fields
from unetlab.diagnosis import verdict as verdicts
from unetlab.diagnosis.advice import DATA_PAGE, LR_PAGE, Advice
from unetlab.diagnosis.verdict import Outcome, remedy, verdict

OPTIONS = {
    "train.epochs": 40,
    "train.loss": "cross_entropy+dice",
    "train.class_weights": "none",
    "train.max_lr": 0.001,
    "train.seed": 7,
}
# 400 steps on 12 validation pictures, which ended well
GOOD = Outcome(
    truth={"sky": 0.8, "bird": 0.2},
    background="sky",
    dice=0.9,
    accuracy=0.96,
    num_pictures=12,
    picture_dice=[0.88, 0.92] * 6,
    epoch_dice=[0.5] * 10 + [0.9] * 30,
    steps=400,
    steps_per_epoch=10,
    options=OPTIONS,
    is_stopped=False,
    is_swept=True,
)
POOR = {"dice": 0.115, "accuracy": 0.8, "epoch_dice": [0.1] * 40}
RISING = {"epoch_dice": [0.5] * 30 + [0.7] * 10, "dice": 0.7}
SHORT = {"steps": 120, "options": OPTIONS | {"train.epochs": 12}, "epoch_dice": [0.1] * 12}
RARE = {"truth": {"sky": 0.97, "bird": 0.03}, "accuracy": 0.97}
WEAK = {"dice": 0.5, "epoch_dice": [0.5] * 40}
WEIGHTS = {"train.class_weights": "balanced"}
# the scored class has most of the pixels, and one class everywhere gives a Dice of .876
MAJORITY = {"truth": {"sky": 0.22, "bird": 0.78}, "dice": 0.885, "accuracy": 0.805}
ALMOST = {"options": OPTIONS | {"train.epochs": 199}, "steps": 398, "steps_per_epoch": 2}
SEED = {"train.seed": 8}
MASKS = Advice("masks", "The training masks hold only “sky”.\nThe model learns what they show.\nCheck them.")
ALARM = Advice("learning-rate", "Black.\nThe rate is too high.\nLower it.", {"train.max_lr": 0.0001})


def judged(*facts: dict[str, Any], **more: Any) -> Advice:
    changed = GOOD
    for each in (*facts, more):
        changed = replace(changed, **each)
    return verdict(changed)


@pytest.mark.parametrize(
    ("cause", "facts", "changes", "page"),
    [
        ("good", {}, SEED, None),
        ("good", {"other_seed": 0.88}, {}, None),
        ("good", {"steps": 0, "epoch_dice": []}, {}, None),
        ("few-pictures", {"num_pictures": 6, "picture_dice": [0.9] * 6}, {}, DATA_PAGE),
        ("few-pictures", {"num_pictures": 6, "picture_dice": [0.9] * 6, "is_split_given": True}, {}, DATA_PAGE),
        ("differing-pictures", {"picture_dice": [0.7, 1.0] * 6}, {}, DATA_PAGE),
        ("fair", MAJORITY, {}, DATA_PAGE),
        ("fair", {"dice": 0.7, "epoch_dice": [0.7] * 40}, {}, DATA_PAGE),
        ("fair", {"dice": 0.7, "epoch_dice": [0.7] * 40, "is_swept": False}, {}, LR_PAGE),
        ("weak", WEAK, {}, DATA_PAGE),
        ("weak", WEAK | RARE | {"accuracy": 0.98}, WEIGHTS, None),
        ("weak", WEAK | RARE | {"accuracy": 0.9}, WEIGHTS, None),  # rare objects found, at the price of false ones
        ("rising", RISING, {"train.epochs": 80}, None),
        ("rising", RISING | {"dice": 0.85}, {"train.epochs": 80}, None),
        ("rising", RISING | {"epoch_dice": [0.5, 0.5, 0.5, 0.7]}, {"train.epochs": 80}, None),
        ("few-steps", WEAK | SHORT, {"train.epochs": 40}, None),
        ("good", SHORT, SEED, None),
        ("fair", {"dice": 0.7, "epoch_dice": [0.7] * 40, **ALMOST}, {}, DATA_PAGE),  # two steps more teach nothing
        ("rising", RISING | ALMOST, {"train.epochs": 398}, None),
        ("masks", SHORT | {"dice": 0.1, "alarm": MASKS}, {}, DATA_PAGE),
        ("masks", POOR | {"alarm": MASKS, "is_swept": False}, {}, DATA_PAGE),
        ("baseline", POOR, {}, DATA_PAGE),
        ("baseline", POOR | {"is_swept": False}, {}, LR_PAGE),
        ("baseline", POOR | RARE, WEIGHTS, None),
        ("baseline", POOR | SHORT, {"train.epochs": 40}, None),
        ("baseline", POOR | SHORT | {"alarm": ALARM}, {"train.max_lr": 0.0001}, None),
        ("baseline", POOR | {"dice": 0.3, "truth": {"sky": 0.79, "bird": 0.21}}, {}, DATA_PAGE),  # birds everywhere
        ("stopped", POOR | SHORT | {"is_stopped": True, "steps": 70}, {}, None),
        ("good", {"is_stopped": True}, SEED, None),
        ("weak", WEAK | {"is_stopped": True}, {}, DATA_PAGE),  # in its last validation: nothing is left to resume
        ("good", {"alarm": MASKS}, SEED, None),
        ("masks", {"truth": {"sky": 1.0, "bird": 0.0}, "dice": 0.0}, {}, DATA_PAGE),
        ("masks", {"dice": None}, {}, DATA_PAGE),
    ],
)
def test_the_numbers_lead_to_a_verdict_and_to_one_run_or_page(cause, facts, changes, page):
    found = judged(facts)
    assert (found.cause, found.changes, found.page) == (cause, changes, page)
    assert bool(found.link) == bool(page)
    assert len(found.message.split("\n")) == 3
    assert all(line.endswith(".") for line in found.message.split("\n"))


@pytest.mark.parametrize(
    ("kept", "facts", "broken"),
    [
        ("baseline", {"dice": 0.2, "accuracy": 0.809}, {"accuracy": 0.811}),  # mends 5 % of the baseline's errors
        ("baseline", {"dice": 0.35, "accuracy": 0.8}, {"dice": 0.36}),  # predicting birds everywhere gives 1/3
        ("baseline", RARE | {"dice": 0.2}, {"dice": 0.21}),  # there it gives .06: slight agreement
        ("weak", {"dice": 0.59, "epoch_dice": [0.5] * 40}, {"dice": 0.6}),
        ("fair", {"dice": 0.79, "epoch_dice": [0.5] * 40}, {"dice": 0.8}),
        ("fair", MAJORITY | {"accuracy": 0.889}, {"accuracy": 0.891}),  # mends half of the baseline's errors
        ("rising", {"epoch_dice": [0.5] * 30 + [0.53] * 10}, {"epoch_dice": [0.5] * 30 + [0.51] * 10}),
        ("rising", {"epoch_dice": [0.5] * 30 + [0.53] * 10}, {"epoch_dice": [0.5] * 29 + [0.53] * 11}),
        ("few-steps", WEAK | SHORT | {"steps": 266, "steps_per_epoch": 22}, {"steps": 267}),
        ("few-pictures", {"picture_dice": [0.9] * 9}, {"picture_dice": [0.9] * 10}),
        ("differing-pictures", {"picture_dice": [0.8, 1.0] * 6}, {"picture_dice": [0.85, 1.0] * 6}),
    ],
)
def test_each_bound_lies_where_it_is_said_to_lie(kept, facts, broken):
    assert judged(facts).cause == kept
    assert judged(facts, broken).cause != kept


def test_a_picture_of_several_classes_without_background_has_a_baseline_too():
    three = replace(GOOD, truth={"a": 0.6, "b": 0.3, "c": 0.1}, background=None)
    assert three.constant_dice == pytest.approx(2 * 0.6 / 1.6 / 3)
    assert (three.largest, three.baseline) == ("a", 0.6)


def test_what_was_just_done_is_not_advised_again():
    assert judged(RISING, earlier=(20, 0.69)).cause == "fair", "a longer run gained nothing"
    assert judged(RISING, earlier=(20, 0.6)).cause == "rising", "it gained"
    assert judged(RISING, earlier=(40, 0.69)).cause == "rising", "it was not longer"
    assert judged(WEAK, SHORT, earlier=(6, 0.49)).cause == "weak"
    assert judged(WEAK, SHORT, steps=60).cause == "weak", "patience ended it: more epochs would not be trained"
    most = {"options": OPTIONS | {"train.epochs": verdicts.MOST_EPOCHS}, "steps": 10 * verdicts.MOST_EPOCHS}
    assert judged(RISING, most).cause == "fair"
    weighted = {"options": OPTIONS | WEIGHTS}
    assert judged(WEAK, RARE, weighted, accuracy=0.98).page == DATA_PAGE
    lowered = {"alarm": ALARM, "options": OPTIONS | {"train.max_lr": 0.0001}}
    assert (remedy(replace(GOOD, **lowered)).changes, remedy(replace(GOOD, **lowered)).page) == ({}, DATA_PAGE)
    assert remedy(replace(GOOD, alarm=ALARM, options=OPTIONS)).changes == {"train.max_lr": 0.0001}
    assert remedy(replace(GOOD, alarm=Advice("masks", "Only sky."))).page == DATA_PAGE


def test_kept_weights_that_were_only_scored_are_judged_without_steps():
    assert judged(WEAK, steps=0, epoch_dice=[]).cause == "weak"
    assert judged(steps=0, epoch_dice=[]).cause == "good"


def test_the_numbers_stand_in_the_text_with_what_they_mean():
    first, numbers, do = judged(POOR, SHORT).message.split("\n")
    assert first == "The model is not better than the baseline."
    assert numbers == (
        "On 12 validation pictures: mean Dice 0.115 (1 is perfect), pixel accuracy 0.800. "
        "Baseline (“sky” everywhere): mean Dice 0.000, pixel accuracy 0.800. "
        "One class everywhere gives a mean Dice of up to 0.333."
    )
    assert do == "Train for 40 epochs (400 steps)."
    assert judged(WEAK, SHORT).message.startswith("120 steps are too few.")
    assert "rose from 0.500 to 0.700 in the last 10 of 40 epochs." in judged(RISING).message
    assert "in the last of 4 epochs" in judged(RISING, epoch_dice=[0.5, 0.5, 0.5, 0.7]).message
    few = judged(num_pictures=6, picture_dice=[0.72, 0.95, 0.9, 0.9, 0.9, 0.9]).message
    assert "6 validation pictures are too few" in few
    assert "Single pictures have Dice 0.720 to 0.950." in few
    assert "one new picture in 7" in few
    assert "one validation picture is too few" in judged(num_pictures=1, picture_dice=[0.9]).message
    apart = judged(num_pictures=12, picture_dice=[0.9] * 9).message
    assert apart.startswith("Good, but 9 validation pictures with objects are too few to be sure.")
    assert "Likely cause: The rate is too high." in judged(POOR, alarm=ALARM).message
    assert judged(SHORT, POOR, is_stopped=True, steps=70).message.startswith("Stopped after 70 of 120 steps.")
    rare = judged(WEAK, RARE, dice=0.3, accuracy=0.96).message
    assert rare.startswith("Weak: mean Dice is 0.300, but more pixels are wrong than in the baseline.")
    assert judged(MAJORITY).message.startswith("Fair: mean Dice is 0.885, but 89% of the baseline's errors remain.")
    assert "(“bird” everywhere): mean Dice 0.876, pixel accuracy 0.780." in judged(MAJORITY).message
    given = judged(num_pictures=6, picture_dice=[0.9] * 6, is_split_given=True)
    assert (given.link, "Move more pictures" in given.message) == (verdicts.ADD_PICTURES, False)
    assert "about ±0.09 only; with 40 such pictures it would be ±0.05" in judged(picture_dice=[0.7, 1.0] * 6).message
    assert "With another seed mean Dice was 0.880" in judged(other_seed=0.88).message


def test_every_verdict_proposes_options_that_can_be_set():
    for facts in ({}, RISING, WEAK | SHORT, WEAK | RARE | {"accuracy": 0.98}):
        changes = judged(facts).changes
        assert changes
        assert changes.keys() <= option_fields().keys()
        RunConfig(kind="train", dataset="birds").changed(changes)
    bounds = [item.le for item in option_fields()["train.epochs"].metadata if hasattr(item, "le")]
    assert bounds == [verdicts.MOST_EPOCHS]
    bounds = [item.lt for item in option_fields()["train.seed"].metadata if hasattr(item, "lt")]
    assert bounds == [verdicts.SEEDS]
