"""The augmentation preview. Oracle: the very minibatch that training makes of the same pictures."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests import tiny
from unetlab.config import load_config
from unetlab.data.dataset import open_dataset
from unetlab.errors import ConfigError
from unetlab.events import Progress
from unetlab.options import PreviewOptions
from unetlab.runs import store
from unetlab.runs.store import Run
from unetlab.training import augmentation_preview
from unetlab.training.random_streams import Purpose, stream
from unetlab.workspace import own_workspace


def first_batches(batches, epoch: int) -> tuple[list[int], tuple[torch.Tensor, torch.Tensor]]:
    """Which pictures the first minibatch of an epoch holds, and the minibatch."""
    order = stream(batches.seed, Purpose.SHUFFLING, epoch).permutation(batches.samples)
    return order[: batches.batch_size].tolist(), next(batches.epoch(epoch))


@pytest.mark.parametrize("name", ["none", "flips", "standard", "strong"])
def test_a_draw_is_to_the_bit_what_training_makes_of_these_pictures(nuclei, make_batches, name: str):
    # of one size, so that no random window comes between
    alike = [i for i in nuclei.indices("train") if nuclei.manifest.pairs[i].width == 48]
    pairs = [pair for index, pair in enumerate(nuclei.manifest.pairs) if index in alike]
    assert len(pairs) >= 4
    data = type(nuclei)(nuclei.folder, nuclei.manifest)
    data.indices = lambda split: alike
    batches = make_batches(data=data, image_size=32, batch_size=3, augment=name, seed=5)
    for epoch in range(3):
        chosen, (images, masks) = first_batches(batches, epoch)
        options = PreviewOptions(indices=chosen, draws=3, seed=5)
        drawn_images, drawn_masks = list(augmentation_preview.augmented(batches, options))[epoch]
        assert torch.equal(drawn_images, images)
        assert torch.equal(drawn_masks, masks)


def preview_run(augment: str = "strong", **options) -> Run:
    """A queued preview of the tiny set."""
    config = tiny.config("preview", {"train.augment": augment}, preview={"indices": [0, 3], "draws": 3} | options)
    return store.create_run(own_workspace(), config)


def make(run: Run, **changes) -> bool:
    told = []
    hooks = {"on_event": told.append, "should_stop": lambda: False} | changes
    is_stopped = augmentation_preview.preview(run, run.config, "cpu", **hooks)
    assert all(isinstance(event, Progress) for event in told)
    return is_stopped


def picture(run: Run, row: int, column: int) -> np.ndarray:
    with Image.open(run.folder / "augmented" / f"{row}_{column}.jpg") as file:
        return np.asarray(file.convert("RGB")).astype(int)


def test_a_row_a_picture_with_the_unchanged_one_first_and_every_draw_another(tiny_set: Path):
    run = preview_run()
    assert make(run) is False
    pairs = open_dataset(own_workspace(), tiny.NAME).manifest.pairs
    assert run.read("result.json") == {"rows": [pairs[0].name, pairs[3].name], "columns": 4}
    names = {path.name for path in (run.folder / "augmented").iterdir()}
    assert names == {f"{row}_{column}.jpg" for row in range(2) for column in range(4)}
    for row, index in enumerate([0, 3]):
        plain = open_dataset(own_workspace(), tiny.NAME).image(index)[:, :, 0] * 255
        mask = open_dataset(own_workspace(), tiny.NAME).mask(index)
        # where there is no object the first column is the picture itself, up to the JPEG's loss
        assert np.abs(picture(run, row, 0).mean(axis=2) - plain)[mask == 0].mean() < 12
        assert (np.ptp(picture(run, row, 0), axis=2)[mask == 1] > 40).mean() > 0.8, "the object is tinted"
        for column, following in pairwise(range(4)):
            assert np.abs(picture(run, row, column) - picture(run, row, following)).mean() > 5


def test_the_same_seed_draws_the_same_and_another_seed_something_else(tiny_set: Path):
    runs = [preview_run(seed=seed) for seed in (1, 1, 2)]
    for run in runs:
        make(run)
    first, again, other = (picture(run, 0, 2) for run in runs)
    assert (first == again).all()
    assert np.abs(first - other).mean() > 5


def test_without_augmentation_every_column_shows_the_picture_itself(tiny_set: Path):
    run = preview_run("none")
    make(run)
    for column in (1, 2, 3):
        assert (picture(run, 0, column) == picture(run, 0, 0)).all()


def test_a_large_picture_is_drawn_small(tiny_set: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(augmentation_preview, "SHOWN_PX", 20)
    run = preview_run()
    make(run)
    assert picture(run, 0, 0).shape == picture(run, 1, 3).shape == (20, 20, 3)


def test_a_stop_ends_between_two_pictures_without_a_result(tiny_set: Path):
    run, asked = preview_run(), iter([False, False, True])
    assert make(run, should_stop=lambda: next(asked)) is True
    assert run.read("result.json") is None
    assert len(list((run.folder / "augmented").iterdir())) == 2


def test_a_picture_that_is_not_there_is_answered_with_how_many_there_are(tiny_set: Path):
    with pytest.raises(ConfigError, match=r"no picture 8: 'tiny' has 8, counted from 0 to 7"):
        make(preview_run(indices=[0, 8]))


@pytest.mark.parametrize("wrong", [{"indices": []}, {"indices": [0] * 7}, {"indices": [0], "draws": 7}])
def test_more_than_a_page_shows_is_refused(wrong: dict):
    with pytest.raises(ConfigError, match=r"preview\."):
        tiny.config("preview", preview=wrong)


def test_a_preview_without_its_options_is_refused():
    with pytest.raises(ConfigError, match="'preview' needs its options"):
        load_config({"kind": "preview", "dataset": tiny.NAME})
