"""Losses. Oracles: torch's own cross-entropy, Dice by hand, and gradients that must be zero."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from unetlab.data.dataset import IGNORE
from unetlab.training.losses import balanced_weights, cross_entropy, dice_loss, make_loss

NAMES = ("cross_entropy", "dice", "cross_entropy+dice")


def random_batch(seed: int = 0, *, num_classes: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    """logits (2,K,5,4) that ask for gradients, and masks with about a quarter of the pixels ignored."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, num_classes, 5, 4, generator=generator, requires_grad=True)
    masks = torch.randint(0, num_classes, (2, 5, 4), generator=generator)
    return logits, masks.where(torch.rand(2, 5, 4, generator=generator) > 0.25, IGNORE)


def logits_of(masks: torch.Tensor, num_classes: int) -> torch.Tensor:
    """Logits that are as sure as can be of `masks`; of class 0 where those are IGNORE."""
    return F.one_hot(masks.where(masks != IGNORE, 0), num_classes).movedim(-1, 1).float() * 100


@given(seed=st.integers(0, 1000), weights=st.none() | st.lists(st.floats(0.125, 8), min_size=3, max_size=3))
@settings(deadline=None)
def test_cross_entropy_equals_torchs_with_ignored_pixels_and_weights(seed, weights):
    logits, masks = random_batch(seed)
    class_weights = None if weights is None else torch.tensor(weights)
    ours = cross_entropy(logits, masks, class_weights)
    expected = F.cross_entropy(logits, masks, class_weights, ignore_index=IGNORE)
    torch.testing.assert_close(ours, expected)
    torch.testing.assert_close(
        torch.autograd.grad(ours, logits, retain_graph=True)[0], torch.autograd.grad(expected, logits)[0]
    )


def test_dice_is_zero_for_a_perfect_prediction_and_one_for_an_opposite_one():
    masks = torch.tensor([[[0, 1], [1, 0]]])
    assert dice_loss(logits_of(masks, 2), masks).item() == pytest.approx(0, abs=1e-6)
    assert dice_loss(logits_of(1 - masks, 2), masks).item() == pytest.approx(1, abs=1e-6)


def test_dice_is_pooled_over_the_batch_by_hand():
    masks = torch.tensor([[[1, 0, 0, 0]], [[1, 1, 1, 0]]])
    predicted = torch.tensor([[[0, 0, 0, 0]], [[1, 1, 1, 0]]])
    # class 1: 2·3 / (3 + 4); class 0: 2·4 / (5 + 4). Averaged per picture it would be (0 + 1) / 2 for class 1.
    expected = 1 - (6 / 7 + 8 / 9) / 2
    assert dice_loss(logits_of(predicted, 2), masks).item() == pytest.approx(expected, abs=1e-6)


def test_dice_leaves_out_classes_that_are_not_in_the_batch():
    masks = torch.tensor([[[0, 1], [1, 0]]])
    assert dice_loss(logits_of(masks, 5), masks).item() == pytest.approx(0, abs=1e-6)


def test_the_sum_is_the_sum_of_its_parts_and_weights_apply_to_the_cross_entropy_only():
    logits, masks = random_batch()
    weights = torch.tensor([1.0, 2.0, 3.0])
    parts = cross_entropy(logits, masks, weights) + dice_loss(logits, masks)
    assert make_loss("cross_entropy+dice", weights)(logits, masks) == parts
    assert make_loss("dice", weights)(logits, masks) == dice_loss(logits, masks)
    assert make_loss("cross_entropy")(logits, masks) == cross_entropy(logits, masks)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("weights", [None, torch.tensor([0.5, 1.0, 2.0])])
def test_a_batch_without_a_pixel_that_counts_has_no_loss_and_no_gradient(name, weights):
    logits, masks = random_batch()
    loss = make_loss(name, weights)(logits, torch.full_like(masks, IGNORE))
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(logits.grad, torch.zeros_like(logits))


@pytest.mark.parametrize("name", NAMES)
def test_ignored_pixels_have_no_gradient_and_the_others_do(name):
    logits, masks = random_batch()
    make_loss(name, torch.tensor([0.5, 1.0, 2.0]))(logits, masks).backward()
    is_moved = (logits.grad != 0).any(1)
    assert torch.equal(is_moved, masks != IGNORE)


@pytest.mark.parametrize("name", NAMES)
def test_predictions_on_ignored_pixels_move_no_loss(name):
    logits, masks = random_batch()
    changed = torch.where((masks == IGNORE)[:, None], logits + torch.randn_like(logits), logits)
    assert make_loss(name)(changed, masks) == make_loss(name)(logits, masks)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_losses_of_half_precision_logits_are_computed_in_float32(dtype):
    logits, masks = random_batch()
    half = logits.detach().to(dtype)
    assert make_loss("cross_entropy+dice")(half, masks).dtype == torch.float32
    assert make_loss("cross_entropy+dice")(half, masks) == make_loss("cross_entropy+dice")(half.float(), masks)


def test_balanced_weights_are_one_over_the_root_of_the_share_with_mean_one():
    weights = balanced_weights(torch.tensor([900, 100]))
    assert (weights[1] / weights[0]).item() == pytest.approx(math.sqrt(9))
    assert weights.mean().item() == pytest.approx(1)


def test_a_class_without_pixels_gets_the_largest_weight_and_a_finite_one():
    weights = balanced_weights(torch.tensor([10**9, 100, 0]))
    assert torch.isfinite(weights).all()
    assert weights[2] >= weights[1] > weights[0]
