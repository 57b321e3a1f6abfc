"""Trainings on real data sets, by `make acceptance`: minutes each, never in CI. Figures go to docs/experiments.md."""

import json

import numpy as np
import pytest

from tests import tiny
from tests.conftest import TEST_DATA
from unetlab.data.dataset import open_dataset
from unetlab.data.labels import heaps
from unetlab.workspace import own_workspace

pytestmark = [pytest.mark.acceptance, pytest.mark.slow]


def otsu_dice(name: str) -> float:
    """Foreground Dice of the best single threshold per picture, pooled over the validation pictures."""
    data, overlap, total = open_dataset(own_workspace(), name), 0, 0
    for index in data.indices("valid"):
        picture = (data.image(index)[:, :, 0] * 255).round().astype(np.uint8)
        found, truth = picture > heaps.otsu(np.bincount(picture.ravel(), minlength=256)), data.mask(index) == 1
        overlap += (found & truth).sum()
        total += found.sum() + truth.sum()
    return float(2 * overlap / total)


def test_the_demo_beats_otsu_and_reaches_dice_90(workspace):
    done = tiny.answer("demo")
    assert done["train"]["seconds"] <= 60
    assert done["train"]["valid"]["mean_dice"] >= 0.90
    assert done["train"]["valid"]["mean_dice"] >= otsu_dice("sample") + 0.05
    assert done["lr_find"]["picks"]["min_gradient"] is not None
    assert done["lr_find"]["picks"]["min_loss_tenth"] is not None


def test_isbi_membranes_over_three_seeds(workspace):
    tiny.answer("data", "import", TEST_DATA / "isbi_membrane", "--name", "isbi")
    settings = ["--set", "data.image_size=256", "--set", "data.size_mode=tile", "--set", "train.epochs=8"]
    sweep = tiny.answer("lr-find", "isbi", *settings)
    assert sweep["picks"]["min_gradient"] is not None
    scores = []
    for seed in range(3):
        result = tiny.answer("train", "isbi", "--lr", "min_gradient", *settings, "--set", f"train.seed={seed}")
        assert result["seconds"] <= 300
        assert result["valid"]["mean_dice"] == result["valid"]["dice"]["value 0"]  # the membrane is what is scored
        scores.append(result["valid"])
    print(json.dumps(scores, indent=1))
    assert np.mean([score["mean_dice"] for score in scores]) >= 0.70


def test_camvid_trains_on_its_given_split_with_void_ignored(workspace):
    tiny.answer("data", "import", TEST_DATA / "camvid", "--name", "camvid")
    settings = ["--set", "data.image_size=240", "--set", "train.epochs=4", "--set", "model.base_width=16"]
    result = tiny.answer("train", "camvid", "--lr", "min_gradient", *settings)
    assert len(result["valid"]["dice"]) == 11
    assert result["valid"]["pixel_accuracy"] > 0.6
    print(json.dumps(result["valid"], indent=1))


def test_crackforest_asks_and_trains_after_one_answer(workspace):
    asked = tiny.command("data", "import", TEST_DATA / "crackforest", "--name", "cracks", "--json")
    assert asked.returncode == 2
    assert "--reading binary" in asked.stderr
    tiny.answer("data", "import", TEST_DATA / "crackforest", "--name", "cracks", "--reading", "binary")
    settings = ["--set", "data.image_size=240", "--set", "data.size_mode=crop", "--set", "train.epochs=16",
                "--set", "model.base_width=16"]  # fmt: skip
    result = tiny.answer("train", "cracks", "--lr", "valley", *settings)
    assert result["valid"]["mean_dice"] > 0.3
    print(json.dumps(result["valid"], indent=1))
