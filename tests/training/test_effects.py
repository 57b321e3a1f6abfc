"""What an option's field says that it changes. Oracles: what the memory forecast says, and sweeps that run."""

from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests import tiny
from unetlab.config import RunConfig, about, choices, costs, is_same_problem, option_fields
from unetlab.runs import store
from unetlab.training.forecast import Shapes, peak_of
from unetlab.training.jobs import JOBS
from unetlab.workspace import own_workspace

SWEEP = {"lr_find.num_steps": 20, "train.max_lr": 1e-3, "train.precision": "fp32"}
# a peak has one place: in the network, among the pictures of an accumulated step as they are augmented, or in the loss
PEAKS: list[dict[str, Any]] = [
    {},
    {"train.batch_size": 1, "train.accumulate": 16},
    {"train.loss": "cross_entropy", "model.depth": 1, "model.base_width": 2},
]
SHAPES = Shapes((32, 32), (2, 32, 32), num_samples=64, channels=1, num_classes=2)
TRAINED = [key for key in option_fields() if "train" in about(key).pages]
# the forecast gets its canvas here, no picture is large, there is one model, and one device
UNSEEN = {"data.image_size", "data.size_mode", "data.whole_picture_pixels", "model.name", "train.device"}
SEEN = [key for key in TRAINED if key not in UNSEEN]
peak_of_once = cache(peak_of)


def other_value(key: str) -> Any:
    """An allowed value of the option that is not its default."""
    field = option_fields()[key]
    if key in ("train.precision", "train.device"):
        return {"train.precision": "bf16-mixed", "train.device": "auto"}[key]  # "auto" may be what it stands for
    if names := choices(key):
        return next((name for name in names if name != field.default), field.default)
    return field.default + 1 if field.annotation is int else field.default / 2 or 0.5


def peak(changes: dict[str, Any]) -> int:
    return peak_of_once(tiny.config(changes={"train.precision": "fp32"} | changes), SHAPES).total()


def test_options_that_do_not_say_they_change_memory_leave_the_forecast_as_it_is():
    changes = {key: other_value(key) for key in TRAINED if "memory" not in about(key).effects}
    assert len(changes) > 10
    for base in PEAKS:
        assert peak(base | changes) == peak(base)


@pytest.mark.parametrize("key", [key for key in SEEN if "memory" in about(key).effects])
def test_an_option_that_says_it_changes_memory_changes_a_forecast(key: str):
    assert any(peak(base) != peak(base | {key: other_value(key)}) for base in PEAKS)


@pytest.mark.parametrize("key", [key for key in SEEN if about(key).zero_is_off])
def test_an_option_that_is_off_at_zero_costs_the_same_memory_at_every_value_above(key: str):
    first, second = (3, 7) if option_fields()[key].annotation is int else (0.25, 0.75)
    assert peak({key: first}) == peak({key: second})
    configs = [tiny.config(changes={key: value}) for value in (first, second)]
    assert costs(configs[0], "memory") == costs(configs[1], "memory")


@pytest.fixture
def swept(tiny_set: Path):
    """swept(config): losses of a sweep of that config, run here."""

    def losses(config: RunConfig) -> list[float]:
        run = store.create_run(own_workspace(), config)
        JOBS["lr_find"](run, config, "cpu", on_event=lambda event: None, should_stop=lambda: False)
        (sweep,) = run.read("lr_curve.json")["sweeps"]
        return sweep["losses"]

    return losses


def test_a_sweep_answers_for_every_config_that_would_have_given_its_losses_and_for_no_other(swept):
    base = tiny.config("lr_find", changes=SWEEP)
    expected = swept(base)
    assert swept(base) == expected
    for key in TRAINED:
        changed = base.changed({key: other_value(key)})
        if is_same_problem(base, changed):
            assert swept(changed) == expected, key
        elif key in SEEN:
            assert swept(changed) != expected, key
