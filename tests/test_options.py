"""What each option's field says of it, and the forms made of that. Oracle: the forms as a person is to meet them."""

import json
from typing import get_args

import pytest

from tests import tiny
from unetlab.config import about, choices, keys_on, option_fields
from unetlab.option_field import About, Effect, Level, Page, option
from unetlab.option_reference import options_reference

BASIC = {
    "train": "train.epochs train.max_lr train.batch_size train.precision train.augment data.image_size",
    "learning_rate": "train.batch_size train.precision train.augment data.image_size lr_find.repeats",
}
AT_ONCE = 7  # controls that a person is to see before opening Advanced


def form(page: Page) -> list[str]:
    return keys_on(page, "basic") + keys_on(page, "advanced")


def test_an_option_that_does_not_say_its_pages_level_and_effects_cannot_be_written():
    with pytest.raises(TypeError, match="about"):
        option(1, "Label", "Help.")  # type: ignore[call-arg]
    for missing in ("pages", "level", "effects"):
        said = {"pages": ("train",), "level": "basic", "effects": ("result",)}
        del said[missing]
        with pytest.raises(TypeError, match=missing):
            About(**said)  # type: ignore[arg-type]


@pytest.mark.parametrize("key", option_fields())
def test_every_option_stands_on_a_page_and_changes_something(key: str):
    said = about(key)
    assert said.pages
    assert said.effects
    assert {*said.pages, said.level, *said.effects} <= {*get_args(Page), *get_args(Level), *get_args(Effect)}
    if said.zero_is_off:
        assert option_fields()[key].default == 0


@pytest.mark.parametrize("page", get_args(Page))
def test_a_form_shows_few_options_at_once_those_that_matter_most_first(page: Page):
    assert keys_on(page, "basic") == BASIC[page].split()
    assert len(keys_on(page, "basic")) <= AT_ONCE


def test_every_option_with_a_choice_stands_on_a_form_and_the_sweeps_own_stand_on_its_page_alone():
    alone = {key for key, field in option_fields().items() if len(get_args(field.annotation)) == 1}
    assert {*form("train"), *form("learning_rate")} == option_fields().keys() - alone
    assert [key for key in form("train") if key.startswith("lr_find.")] == []
    assert {key for key in option_fields() if key.startswith("lr_find.")} <= {*form("learning_rate")}


def test_the_learning_rate_page_asks_for_all_that_changes_a_sweep():
    assert {"model.dropout", "train.accumulate", "train.clip_norm"} <= {*keys_on("learning_rate", "advanced")}
    assert not {"train.max_lr", "train.epochs", "train.ema", "train.best_score"} & {*form("learning_rate")}


def test_the_reference_is_made_from_the_fields():
    written = (tiny.ROOT / "docs" / "options.md").read_text()
    assert written == options_reference() + "\n", "An option changed: make fix writes docs/options.md anew."


@pytest.mark.parametrize("key", option_fields())
def test_every_option_is_one_line_of_the_reference(key: str):
    field, said = option_fields()[key], about(key)
    (line,) = (line for line in options_reference().splitlines() if line.startswith(f"| `{key}` |"))
    assert line.replace("\\|", "").count("|") == 9
    words = (field.title, f"`{field.default}`", said.level, ", ".join(said.effects), field.description)
    assert all(f"| {word} |" in line for word in words)
    limits = [getattr(item, sign, None) for item in field.metadata for sign in ("ge", "gt", "le", "lt")]
    assert all(f" {limit}" in line for limit in limits if limit is not None)
    assert all(f"`{choice}`" in line for choice in choices(key))


def test_the_command_line_prints_the_reference_and_as_json_the_options():
    printed = tiny.command("options")
    assert (printed.returncode, printed.stdout) == (0, options_reference() + "\n")
    said = json.loads(tiny.command("options", "--json").stdout)["options"]
    assert list(said) == list(option_fields())
    assert said["train.ema"]["pages"] == ["train"]
    assert said["train.ema"]["default"] == 0
