"""What can be asked for. Oracles: the bounds of each field, a round trip through JSON, a golden list of options."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unetlab import lr_curve, schedules
from unetlab.config import (
    SCHEMA_VERSION,
    LRFrom,
    RunConfig,
    WeightsFrom,
    is_same_problem,
    load_config,
    option_fields,
    parse_rate,
    parse_settings,
)
from unetlab.errors import ConfigError

# Growing this list is a decision: each option is a line in every form, in every run and in the documentation.
OPTIONS = {
    "data": "image_size size_mode whole_picture_pixels",
    "lr_find": "end_lr num_steps repeats start_lr",
    "model": "base_width depth dropout name norm skip",
    "train": "accumulate augment batch_size best_score class_weights clip_norm device div_factor ema epochs "
    "final_div_factor loss lr_slice max_lr momentum_max momentum_min norm_statistics patience pct_start precision "
    "schedule seed threads weight_decay",
}


def keys(groups: dict[str, str]) -> list[str]:
    return [f"{group}.{name}" for group, names in groups.items() for name in names.split()]


def config(**changes: object) -> RunConfig:
    return load_config({"kind": "train", "dataset": "cells"}).changed(changes)


def test_the_options_are_these_and_no_others():
    assert sorted(option_fields()) == keys(OPTIONS)


@pytest.mark.parametrize("key", keys(OPTIONS))
def test_every_option_has_a_label_and_a_help_text(key):
    field = option_fields()[key]
    assert field.title
    assert field.description.endswith(".") or field.description.endswith(").")
    assert len(field.description) > 10


def test_no_two_options_share_a_label():
    titles = [field.title for field in option_fields().values()]
    assert len(set(titles)) == len(titles)


def test_the_schedules_defaults_are_those_of_one_cycle():
    options = config().train
    names = ("div_factor", "final_div_factor", "momentum_max", "momentum_min")
    assert {"pct_start": schedules.warm_up(options), **{name: getattr(options, name) for name in names}} == {
        name: schedules.one_cycle.__kwdefaults__[name] for name in ("pct_start", *names)
    }


@pytest.mark.parametrize(
    ("typed", "nearest"),
    [
        ("train.epoch", "train.epochs"),
        ("model.dept", "model.depth"),
        ("batch_size", "train.batch_size"),
        ("model.weight_decay", "train.weight_decay"),
        ("lr_find.steps", "lr_find.num_steps"),
    ],
)
def test_an_unknown_option_names_the_nearest_known_one(typed, nearest):
    with pytest.raises(ConfigError, match=f"Unknown option '{typed}'.*'{nearest}'"):
        config(**{typed: 1})
    with pytest.raises(ConfigError, match=f"Unknown option '{typed}'.*'{nearest}'"):
        parse_settings([f"{typed}=1"])


def test_an_unknown_key_in_a_stored_config_names_the_nearest_known_one():
    stored = config().model_dump()
    stored["train"]["max_lrr"] = 1
    with pytest.raises(ConfigError, match=r"Unknown option 'train.max_lrr'. Did you mean 'train.max_lr'\?"):
        load_config(stored)
    with pytest.raises(ConfigError, match=r"Unknown option 'datset'. Did you mean 'dataset'\?"):
        load_config({"kind": "train", "datset": "cells"})


def test_an_unknown_option_like_no_other_lists_the_known_ones():
    with pytest.raises(ConfigError, match=r"Unknown option 'qqqq'. Known: .*train\.epochs"):
        config(qqqq=1)


def limits(key: str) -> dict[str, float]:
    return {
        name: getattr(bound, name)
        for bound in option_fields()[key].metadata
        for name in ("ge", "gt", "le", "lt")
        if hasattr(bound, name)
    }


@pytest.mark.parametrize("key", [key for key in keys(OPTIONS) if limits(key)])
def test_values_outside_the_bounds_are_refused_and_bounds_that_belong_are_taken(key):
    outside = {"ge": -1, "gt": 0, "le": 1, "lt": 0}
    is_whole = option_fields()[key].annotation is int
    for name, bound in limits(key).items():
        with pytest.raises(ConfigError, match=f"^{key}: must be .*(above|below|least|most) .*, not "):
            config(**{key: bound + outside[name]})
        if name in ("ge", "le") and not key.startswith("lr_find."):
            assert config(**{key: int(bound) if is_whole else bound})


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("train.epochs", "many", "train.epochs: 'many' is not a whole number."),
        ("train.epochs", 1.5, "train.epochs: 1.5 is not a whole number."),
        ("train.epochs", 0, "train.epochs: must be at least 1 and at most 10000, not 0."),
        ("train.max_lr", 200.0, "train.max_lr: must be above 0 and at most 100, not 200."),
        ("train.max_lr", 0, "train.max_lr: must be above 0 and at most 100, not 0."),
        ("train.max_lr", "x", "train.max_lr: 'x' is not a number."),
        ("train.ema", 1.0, "train.ema: must be at least 0 and below 1, not 1."),
        ("model.skip", "sum", "model.skip: 'sum' is not 'concat', 'add' or 'none'."),
        ("train.device", "gpu", "train.device: 'gpu' is not a device: auto, cpu, cuda, cuda:N or mps."),
        ("train.device", None, "train.device: None is not allowed: input should be a valid string."),
        ("train.lr_slice", "half", "train.lr_slice: 'half' is neither 'one' nor 'tenth' nor a number from 1 to 1e6."),
        ("train.lr_slice", 0.5, "train.lr_slice: 0.5 is neither 'one' nor 'tenth' nor a number from 1 to 1e6."),
        ("train.max_lr", float("nan"), "train.max_lr: nan is not a finite number."),
        ("train.div_factor", float("inf"), "train.div_factor: inf is not a finite number."),
        ("lr_find.end_lr", 1e-9, "lr_find.end_lr is 1e-09, not above lr_find.start_lr"),
    ],
)
def test_a_wrong_value_is_answered_with_what_was_given_and_what_is_allowed(key, value, message):
    with pytest.raises(ConfigError) as caught:
        config(**{key: value})
    assert message in str(caught.value)


def test_every_wrong_value_is_named_at_once():
    with pytest.raises(ConfigError) as caught:
        config(**{"train.epochs": 0, "model.depth": 9})
    assert len(str(caught.value).splitlines()) == 2


def test_a_config_of_a_newer_version_is_refused_readably():
    stored = {**config().model_dump(), "schema_version": SCHEMA_VERSION + 1, "train": {"from_the_future": 1}}
    with pytest.raises(ConfigError, match=r"newer unetlab \(schema 3; this one reads up to 2\). Update"):
        load_config(stored)


SWEPT = "min_gradient of sweep-1"
RATE = LRFrom(sweep="sweep-1", pick="min_gradient", lr=0.5)


@pytest.mark.parametrize(
    ("kind", "old", "new"),
    [
        ("train", {"parent": "sweep-1", "lr_source": SWEPT}, {"lr_from": RATE}),
        ("train", {"parent": "run-1"}, {"form_from": "run-1"}),
        (
            "train",
            {"parent": "run-1", "lr_source": SWEPT},
            {"lr_from": RATE, "form_from": "run-1"},
        ),
        ("evaluate", {"parent": "run-1"}, {"weights_from": WeightsFrom(run="run-1", which="best")}),
        ("lr_find", {"parent": "run-1", "then_train": True}, {"form_from": "run-1"}),
        ("train", {"parent": None, "lr_source": "min gradient of sweep-1"}, {}),
    ],
)
def test_a_config_of_schema_1_says_what_its_parent_was(kind, old, new):
    stored = {
        "schema_version": 1,
        "kind": kind,
        "dataset": "cells",
        "train": {"max_lr": 0.5},
        "then_train": False,
    } | old
    read = load_config(stored)
    fields = ("weights_from", "form_from", "lr_from")
    assert {name: getattr(read, name) for name in fields} == dict.fromkeys(fields) | new
    assert read.lr_source == old.get("lr_source", "typed")
    assert load_config(json.loads(read.model_dump_json())) == read


@pytest.mark.parametrize("kind", ["lr_find", "evaluate", "forecast"])
def test_a_job_made_from_the_options_of_a_training_that_waits_for_its_rate_waits_for_none(kind):
    waiting = config().changed({}, lr_from={"sweep": "sweep-1"})
    assert waiting.changed({"train.seed": 1}).lr_from == LRFrom(sweep="sweep-1")
    assert waiting.changed({}, kind=kind).lr_from is None


def test_settings_are_json_where_they_parse_and_text_elsewhere():
    settings = ["model.depth=3", "train.max_lr=1e-3", "data.size_mode=tile", "train.device=cuda:0"]
    assert parse_settings(settings) == {
        "model.depth": 3,
        "train.max_lr": 1e-3,
        "data.size_mode": "tile",
        "train.device": "cuda:0",
    }


@pytest.mark.parametrize(("typed", "taken"), [("one", "one"), ("tenth", "tenth"), ("100", 100), (" 2.5 ", 2.5)])
def test_the_rates_of_the_layers_are_a_name_or_a_number_from_a_flag_and_from_a_form(typed, taken):
    assert config(**parse_settings([f"train.lr_slice={typed}"])).train.lr_slice == taken
    assert config(**{"train.lr_slice": typed}).train.lr_slice == taken


@pytest.mark.parametrize(("typed", "taken"), [("auto", "auto"), ("0.25", 0.25), (" .5 ", 0.5)])
def test_the_warm_up_share_is_auto_or_a_number_from_a_flag_and_from_a_form(typed, taken):
    assert config(**{"train.pct_start": typed}).train.pct_start == taken
    assert config().train.pct_start == "auto"


@pytest.mark.parametrize("typed", ["0", 1, 1.0, "half", -0.3, None])
def test_a_warm_up_share_of_nothing_or_all_is_refused_with_what_is_allowed(typed):
    with pytest.raises(ConfigError, match=r"^train.pct_start: .* is neither 'auto' nor a number above 0"):
        config(**{"train.pct_start": typed})


def test_a_run_that_was_stored_with_a_number_keeps_it():
    stored = config().model_dump(mode="json")
    stored["train"] |= {"schedule": "fastai_one_cycle", "pct_start": 0.3}
    assert schedules.warm_up(load_config(stored).train) == 0.3


def test_a_setting_without_a_value_says_how_to_write_one():
    with pytest.raises(ConfigError, match=r"--set 'model.depth' has no '='. Write --set model.depth=4"):
        parse_settings(["model.depth"])


def test_a_change_is_made_on_a_checked_copy():
    before = config()
    after = before.changed({"model.depth": 2, "train.epochs": 3}, kind="lr_find", form_from="run-1")
    assert (after.model.depth, after.train.epochs, after.kind, after.form_from) == (2, 3, "lr_find", "run-1")
    assert before == config()
    assert after.model.base_width == before.model.base_width
    with pytest.raises(ConfigError, match=r"model\.depth: must be at least 1 and at most 6, not 0"):
        before.changed({"model.depth": 0})


@given(
    depth=st.integers(1, 6),
    max_lr=st.floats(0, 100, exclude_min=True),
    loss=st.sampled_from(["cross_entropy", "dice", "cross_entropy+dice"]),
    final_div_factor=st.floats(1, allow_infinity=False),
)
def test_a_config_comes_back_from_json_as_it_was(depth, max_lr, loss, final_div_factor):
    asked = {
        "model.depth": depth,
        "train.max_lr": max_lr,
        "train.loss": loss,
        "train.final_div_factor": final_div_factor,
    }
    stored = json.dumps(config(**asked).model_dump(mode="json"), allow_nan=False)
    assert load_config(json.loads(stored)) == config(**asked)


def test_a_sweep_answers_for_other_rates_and_lengths_but_not_for_another_network():
    same = {"train.max_lr": 0.5, "train.epochs": 99, "train.schedule": "flat", "lr_find.num_steps": 50}
    assert is_same_problem(config(), config(**same))
    for change in ({"model.depth": 2}, {"train.batch_size": 4}, {"data.image_size": 64}, {"train.seed": 1}):
        assert not is_same_problem(config(), config(**change))
    assert not is_same_problem(config(), config().changed({}, dataset="other"))


def test_a_sweep_answers_whatever_is_kept_of_the_training_but_only_on_its_device_and_in_its_precision():
    kept = {"train.best_score": "valid_loss", "train.patience": 3, "train.ema": 0.99}
    assert is_same_problem(config(), config(**kept))
    for change in ({"train.device": "cuda:1"}, {"train.precision": "fp32"}, {"train.accumulate": 2}):
        assert not is_same_problem(config(), config(**change))


@pytest.mark.parametrize(
    ("typed", "nearest"), [("mingradient", "min_gradient"), ("min-loss-tenth", "min_loss_tenth"), ("vally", "valley")]
)
def test_a_mistyped_pick_is_answered_with_the_picks_nearest_first(typed: str, nearest: str):
    with pytest.raises(ConfigError, match=f"{typed}.*Picks: {nearest}, ") as told:
        parse_rate(typed)
    assert all(name in str(told.value) for name in lr_curve.DEFINITIONS)
    assert parse_rate("1e-3") == 1e-3
