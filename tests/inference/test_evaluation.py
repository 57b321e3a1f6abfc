"""Evaluation. Oracles: a network that answers with the picture itself, other batch sizes, the untiled prediction."""

import contextlib
import copy

import numpy as np
import pytest
import torch
from torch import nn

from unetlab.data.dataset import IGNORE
from unetlab.inference.evaluation import evaluate, majority_share
from unetlab.inference.metrics import count_pixels, scores
from unetlab.inference.pictures import Pictures
from unetlab.options import DataOptions
from unetlab.training.losses import make_loss

CPU = torch.device("cpu")


def mirror_model(*, num_classes: int = 2) -> nn.Conv2d:
    """A 1x1 convolution that answers class 1 where the picture is brighter than 0.5, else class 0."""
    model = nn.Conv2d(1, num_classes, 1)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([-20.0, 20.0, *[0.0] * (num_classes - 2)]).view(-1, 1, 1, 1))
        model.bias.copy_(torch.tensor([10.0, -10.0, *[-99.0] * (num_classes - 2)]))
    return model


def evaluated(
    model, data, indices, *, image_size: int = 4096, batch_size: int = 2, loss="cross_entropy+dice", **options
):
    pictures = Pictures(data, DataOptions(image_size=image_size))
    autocast = contextlib.nullcontext
    return evaluate(
        model,
        pictures,
        indices,
        loss=make_loss(loss).value,
        autocast=autocast,
        device=CPU,
        batch_size=batch_size,
        **options,
    )


@pytest.fixture(scope="session")
def mirrors(import_pairs):
    """Pictures that are their own masks, 64x48 px in 8x8 blocks."""
    rng = np.random.default_rng(0)
    pairs = []
    for i in range(5):
        blocks = rng.integers(0, 2, (8, 6), np.uint8).repeat(8, 0).repeat(8, 1) * 255
        pairs.append((f"m{i}", blocks, blocks))
    return import_pairs(pairs, name="mirrors")


def test_a_network_that_answers_with_the_truth_scores_one(mirrors):
    found = evaluated(mirror_model(), mirrors, [0, 1, 2, 3, 4])
    assert found.scores.mean_dice == 1
    assert found.scores.pixel_accuracy == 1
    assert found.loss < 0.01
    assert found.confusion.sum() == 5 * 64 * 48
    assert found.confusion[0, 1] == found.confusion[1, 0] == 0


def test_scores_are_counted_at_the_masks_original_size(mirrors):
    sizes = []
    found = evaluated(
        mirror_model(), mirrors, [0, 1], image_size=16, on_prediction=lambda i, ids: sizes.append(ids.shape)
    )
    assert sizes == [(64, 48)] * 2
    assert found.confusion.sum() == 2 * 64 * 48
    assert 0.7 < found.scores.mean_dice < 1  # 16 px cannot draw the corners of blocks of 2 px


def test_what_is_reported_adds_up(mirrors):
    heard, progress = {}, []
    model = nn.Conv2d(1, 2, 3, padding=1)
    found = evaluated(
        model, mirrors, [4, 0, 2], on_prediction=heard.__setitem__, on_progress=lambda *counts: progress.append(counts)
    )
    counts = {index: count_pixels(ids, mirrors.mask(index), 2) for index, ids in heard.items()}
    assert list(heard) == [4, 0, 2]
    assert {ids.dtype for ids in heard.values()} == {np.dtype(np.uint8)}
    assert np.array_equal(found.confusion, sum(counts.values()))
    assert found.scores == scores(found.confusion, mirrors.class_names, mirrors.background)
    assert found.per_picture == {i: scores(c, mirrors.class_names, mirrors.background) for i, c in counts.items()}
    assert progress == [(2, 3), (3, 3)]


def test_loss_and_counts_do_not_depend_on_the_batch_size(nuclei, make_learner):
    model, everything = make_learner().model, list(range(10))
    one = evaluated(model, nuclei, everything, batch_size=1)
    for batch_size in (3, 10):
        many = evaluated(model, nuclei, everything, batch_size=batch_size)
        assert many.loss == pytest.approx(one.loss, rel=1e-5)
        assert abs(many.confusion - one.confusion).sum() <= 4  # a logit on the border may round the other way


def test_the_loss_is_the_mean_over_pictures_at_network_size(nuclei, make_learner):
    model, found = make_learner().model.eval(), []
    pictures = Pictures(nuclei, DataOptions(image_size=24))
    for index in (0, 1, 2):
        image, mask = pictures[index]
        with torch.no_grad():
            logits = model(torch.from_numpy(image).permute(2, 0, 1)[None])
        found.append(make_loss("cross_entropy").value(logits, torch.from_numpy(mask)[None].long()))
    ours = evaluated(model, nuclei, [0, 1, 2], image_size=24, loss="cross_entropy").loss
    assert ours == pytest.approx(np.mean(found), rel=1e-5)


@pytest.mark.parametrize("is_training", [True, False])
def test_the_model_is_left_in_its_mode_and_bitwise_as_it_was(nuclei, make_learner, is_training):
    model = make_learner(dropout=0.5).model.train(is_training)
    before = copy.deepcopy(model.state_dict())
    first = evaluated(model, nuclei, [0, 1, 2])
    assert all(module.training == is_training for module in model.modules())
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert evaluated(model, nuclei, [0, 1, 2]).loss == first.loss  # no dropout, no batch statistics


@pytest.mark.parametrize("image_size", [128, 4096])
def test_251_by_250_goes_in_and_251_by_250_comes_out(import_pairs, make_learner, image_size):
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (251, 250), np.uint8) for _ in range(2)]
    data = import_pairs([(f"p{i}", p, (p > 99) * np.uint8(255)) for i, p in enumerate(pictures)], name="odd")
    heard = []
    found = evaluated(
        make_learner().model, data, [0, 1], image_size=image_size, on_prediction=lambda i, ids: heard.append(ids.shape)
    )
    assert heard == [(251, 250)] * 2
    assert found.confusion.sum() == 2 * 251 * 250


def test_ignored_pixels_count_nowhere(mirrors):
    class Blinkered(type(mirrors)):
        def mask(self, index: int) -> np.ndarray:
            mask = super().mask(index)
            mask[:, 24:] = IGNORE
            return mask

    class Wrong(nn.Conv2d):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            logits = super().forward(images)
            return torch.cat([logits[..., :24], -logits[..., 24:]], dim=-1)

    model = Wrong(1, 2, 1)
    model.load_state_dict(mirror_model().state_dict())
    found = evaluated(model, Blinkered(mirrors.folder, mirrors.manifest), [0, 1])
    assert found.scores.mean_dice == 1
    assert found.loss < 0.01
    assert found.confusion.sum() == 2 * 64 * 24


def test_the_majority_share_is_the_accuracy_of_always_saying_the_largest_class():
    assert majority_share(np.array([[5, 1], [1, 3]])) == 0.6
    assert majority_share(np.zeros((2, 2), np.int64)) == 0
