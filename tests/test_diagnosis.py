"""Facts -> cause and proposed run. The trainings that show such facts for real stand in training/test_alarm.py."""

from dataclasses import replace
from typing import Any

import pytest

from unetlab.config import RunConfig, option_fields
from unetlab.diagnosis.advice import DATA_PAGE, LR_PAGE, Advice
from unetlab.diagnosis.black_mask import SMALLEST_IMAGE, BlackMask, black_mask
from unetlab.diagnosis.endings import blown_up

# a black mask at step 60 of 200, its rate at the peak, its loss neither falling nor above that of a constant
PLAIN = BlackMask(
    predicted="sky",
    train_shares={"sky": 0.7, "bird": 0.3},
    valid_shares={"sky": 0.8, "bird": 0.2},
    losses=[0.6] * 60,
    lrs=[0.001] * 60,
    valid_loss=0.6,
    constant_loss=0.61,
    batch_share=1.0,
    scored_share=1.0,
    is_running=False,
    spread=0.4,
    in_a_row=2,
    steps_per_epoch=10,
    step=60,
    epochs=20,
    max_lr=0.001,
    loss="cross_entropy",
    class_weights="none",
    batch_size=8,
    asked_batch_size=8,
    image_size=256,
    is_swept=False,
)
RARE = {"train_shares": {"sky": 0.99, "bird": 0.01}, "constant_loss": 0.056}
BOTH = {"train.loss": "cross_entropy+dice", "train.class_weights": "balanced"}
FALLING = [1 - i / 100 for i in range(60)]


def advised(**changes: Any) -> Advice:
    return black_mask(replace(PLAIN, **changes))


@pytest.mark.parametrize(
    ("cause", "facts", "changes"),
    [
        ("masks", {"train_shares": {"sky": 1.0, "bird": 0.0}}, {}),
        ("masks", {"train_shares": {"sky": 0.0002, "bird": 0.9998}}, BOTH),
        ("masks", {"valid_shares": {"sky": 0.9995, "bird": 0.0005}}, {}),
        ("imbalance", RARE, BOTH),
        ("imbalance", RARE | {"losses": FALLING}, BOTH),
        ("imbalance", RARE | {"class_weights": "balanced"}, {"train.loss": "cross_entropy+dice"}),
        ("imbalance", RARE | {"loss": "cross_entropy+dice"}, {"train.class_weights": "balanced"}),
        ("learning-rate", {"valid_loss": 5.0}, {"train.max_lr": 0.0001}),
        ("learning-rate", {"losses": [0.1] * 50 + [0.7] * 10}, {"train.max_lr": 0.0001}),
        ("learning-rate", {"spread": 1e-7}, {"train.max_lr": 0.0001}),
        ("learning-rate", RARE | {"spread": 1e-7}, {"train.max_lr": 0.0001}),
        ("learning-rate", {"constant_loss": 0.5}, {"train.max_lr": 0.0001}),
        ("learning-rate", {"spread": 0.0, "lrs": [0.4], "max_lr": 1.0}, {"train.max_lr": 0.04}),
        ("batch-norm", {"batch_share": 0.8}, {"train.max_lr": 0.00033}),
        ("batch-norm", {"batch_share": 0.8, "is_running": True}, {"train.norm_statistics": "reestimated"}),
        ("batch-norm", {"batch_share": 0.8, "batch_size": 2, "asked_batch_size": 2}, {"train.batch_size": 8}),
        (
            "batch-norm",
            {"batch_share": 0.8, "batch_size": 2, "asked_batch_size": 16},
            {"train.batch_size": 16, "data.image_size": 128},
        ),
        ("few-steps", {"epochs": 5, "step": 50}, {"train.epochs": 40}),
        ("early", {"step": 20}, {}),
        ("early", {"step": 20, "batch_share": 0.8}, {}),
        ("early", {"losses": FALLING}, {}),
        ("early", {"lrs": [0.0004]}, {}),
        ("early", {"in_a_row": 1}, {}),
        ("early", RARE | {"in_a_row": 1}, {}),
        ("learning-rate", {"spread": 1e-7, "in_a_row": 1}, {"train.max_lr": 0.0001}),
        ("early", RARE | {"lrs": [0.0004]}, {}),
        ("unclear", {}, {"train.max_lr": 0.00033} | BOTH),
        ("unclear", RARE | {"loss": "cross_entropy+dice", "class_weights": "balanced"}, {"train.max_lr": 0.00033}),
    ],
)
def test_the_facts_lead_to_the_cause_and_to_one_run(cause, facts, changes):
    advice = advised(**facts)
    assert advice.cause == cause
    assert advice.changes == changes


@pytest.mark.parametrize(
    ("kept", "broken"),
    [
        ({"valid_loss": 2.4}, {"valid_loss": 2.5}),
        ({"spread": 1e-3}, {"spread": 0.9e-3}),
        ({"batch_share": 0.86}, {"batch_share": 0.84}),
        ({"batch_share": 0.8, "scored_share": 0.99}, {"batch_share": 0.8, "scored_share": 1.0}),
        ({"train_shares": {"sky": 0.89, "bird": 0.11}}, {"train_shares": {"sky": 0.91, "bird": 0.09}}),
        ({"losses": [0.6] * 30 + [0.59] * 30}, {"losses": [0.6] * 30 + [0.58] * 30}),
        ({"lrs": [0.0005]}, {"lrs": [0.00049]}),
        ({"in_a_row": 2}, {"in_a_row": 1}),
    ],
)
def test_each_bound_lies_where_it_is_said_to_lie(kept, broken):
    assert advised(**kept).cause == "unclear"
    assert advised(**broken).cause != "unclear"


def test_a_loss_that_came_down_far_below_the_constant_and_is_slow_is_no_reason_to_lower_the_rate():
    assert advised(losses=[1.4] * 30 + [1.3] * 30, constant_loss=0.9).cause == "early"


@pytest.mark.parametrize("cause", [{}, RARE, {"spread": 0.0}, {"batch_share": 0.8}, {"epochs": 5}, {"step": 20}])
def test_a_message_says_what_happened_why_and_what_to_do_in_three_lines(cause):
    lines = advised(**cause).message.split("\n")
    assert lines[0] == "The model predicts “sky” for every pixel of the validation pictures."
    assert len(lines) == 3
    assert all(line.endswith(".") for line in lines)


def test_a_rate_that_was_swept_is_not_sent_to_be_swept():
    typed, swept = advised(spread=0.0), advised(spread=0.0, is_swept=True)
    assert (typed.page, "LR finder" in typed.message) == (LR_PAGE, True)
    assert (swept.page, "LR finder" in swept.message) == (None, False)
    assert swept.changes == typed.changes == {"train.max_lr": 0.0001}


def test_masks_of_one_class_are_looked_at_on_the_data_page():
    assert {advised(valid_shares={"sky": 1.0, "bird": 0.0}).page, advised(**RARE).page} == {DATA_PAGE, None}
    assert "almost only “bird”: all other classes together make 0.02 %" in (
        advised(train_shares={"sky": 0.0002, "bird": 0.9998}).message
    )
    assert "validation masks hold only “sky”." in advised(valid_shares={"sky": 1.0, "bird": 0.0}).message


@pytest.mark.parametrize(
    ("precision", "changes"),
    [
        ("fp32", {"train.max_lr": 0.01, "train.clip_norm": 1.0}),
        ("bf16-mixed", {"train.max_lr": 0.01, "train.clip_norm": 1.0, "train.precision": "fp32"}),
        ("fp16-mixed", {"train.max_lr": 0.01, "train.clip_norm": 1.0, "train.precision": "fp32"}),
    ],
)
def test_numbers_that_are_not_finite_lead_to_a_calmer_run(precision, changes):
    advice = blown_up(precision, 0.03, 41, 3)
    assert (advice.cause, advice.changes) == ("not-finite", changes)
    assert "step 42: 3 steps in a row" in advice.message
    assert "it was 0.03" in advice.message
    assert ("65504" in advice.message) == (precision == "fp16-mixed")
    assert len(advice.message.split("\n")) == 3


def test_every_proposed_change_is_an_option_that_can_be_set():
    proposed = [advised(**facts).changes for facts in (RARE, {}, {"spread": 0.0}, {"batch_share": 0.8}, {"epochs": 5})]
    for changes in [*proposed, blown_up("bf16-mixed", 0.03, 1, 1).changes]:
        assert changes
        assert changes.keys() <= option_fields().keys()
        RunConfig(kind="train", dataset="birds").changed(changes)


def test_the_smallest_image_is_the_form_s_lower_bound():
    bounds = [item.ge for item in option_fields()["data.image_size"].metadata if hasattr(item, "ge")]
    assert bounds == [SMALLEST_IMAGE]
