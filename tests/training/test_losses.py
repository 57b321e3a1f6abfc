"""Losses. Oracles: torch's own cross-entropy, Dice by hand, gradients that must be zero, and parts that must add up."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from unetlab.data.dataset import IGNORE
from unetlab.training.losses import balanced_weights, make_loss
from unetlab.training.memory_tape import on_fake_tensors

NAMES = ("cross_entropy", "dice", "cross_entropy+dice")
WEIGHTS = [None, torch.tensor([0.5, 1.0, 2.0])]


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
    ours = make_loss("cross_entropy", class_weights)(logits, masks)
    expected = F.cross_entropy(logits, masks, class_weights, ignore_index=IGNORE)
    torch.testing.assert_close(ours, expected)
    torch.testing.assert_close(
        torch.autograd.grad(ours, logits, retain_graph=True)[0], torch.autograd.grad(expected, logits)[0]
    )


def test_dice_is_zero_for_a_perfect_prediction_and_one_for_an_opposite_one():
    masks = torch.tensor([[[0, 1], [1, 0]]])
    dice = make_loss("dice")
    assert dice.value(logits_of(masks, 2), masks) == pytest.approx(0, abs=1e-6)
    assert dice.value(logits_of(1 - masks, 2), masks) == pytest.approx(1, abs=1e-6)


def test_dice_is_the_mean_over_pictures_and_their_classes_by_hand():
    masks = torch.tensor([[[1, 0, 0, 0]], [[1, 1, 1, 0]]])
    predicted = torch.tensor([[[0, 0, 0, 0]], [[1, 1, 1, 0]]])
    # the first picture's class 0: 2·3 / (4 + 3), its class 1: nothing found; the second one is perfect
    expected = 1 - (6 / 7 + 0 + 1 + 1) / 4
    assert make_loss("dice").value(logits_of(predicted, 2), masks) == pytest.approx(expected, abs=1e-6)


def test_dice_leaves_out_classes_that_are_not_in_the_picture():
    masks = torch.tensor([[[0, 1], [1, 0]]])
    assert make_loss("dice").value(logits_of(masks, 5), masks) == pytest.approx(0, abs=1e-6)


def test_the_sum_is_the_sum_of_its_terms_and_weights_apply_to_the_cross_entropy_only():
    logits, masks = random_batch()
    weights = torch.tensor([1.0, 2.0, 3.0])
    entropy, dice = make_loss("cross_entropy", weights)(logits, masks), make_loss("dice")(logits, masks)
    assert make_loss("cross_entropy+dice", weights)(logits, masks) == entropy + dice
    assert make_loss("dice", weights)(logits, masks) == dice
    assert make_loss("cross_entropy")(logits, masks) != entropy


class Convolutions(nn.Sequential):
    """A network without BatchNorm in float64: two convolutions, three classes."""

    def __init__(self):
        torch.manual_seed(0)
        super().__init__(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 3, 1))
        self.double()


def gradients(name, weights, images, masks, parts) -> torch.Tensor:
    """All gradients of a step whose pictures go through one part after the other; `parts`: lists of their places."""
    network, loss = Convolutions(), make_loss(name, weights)
    total = loss.weights(masks)
    for part in parts:
        loss(network(images[part]), masks[part], total).backward()
    return torch.cat([parameter.grad.flatten() for parameter in network.parameters()])


@pytest.mark.parametrize("name", NAMES)
@given(
    parts=st.permutations(range(5)).flatmap(
        lambda order: st.sets(st.integers(1, 4)).map(
            lambda cuts: [order[a:b] for a, b in zip([0, *sorted(cuts)], [*sorted(cuts), 5], strict=True)]
        )
    ),
    weights=st.sampled_from([None, torch.tensor([0.01, 1.0, 30.0])]),
    seed=st.integers(0, 100),
)
@settings(deadline=None, max_examples=30)
def test_any_parts_of_a_step_add_up_to_its_gradients(name, parts, weights, seed):
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(5, 1, 6, 6, generator=generator, dtype=torch.float64)
    # classes and ignored pixels are spread unevenly: the first picture shows one class, the last counts in one pixel
    masks = (images[:, 0] * torch.arange(1, 6).view(-1, 1, 1)).long().clamp(max=2)
    masks = masks.where(torch.rand(masks.shape, generator=generator) > 0.3, IGNORE)
    masks[0], masks[4] = 0, IGNORE
    masks[4, 0, 0] = 2
    whole = gradients(name, weights, images, masks, [list(range(5))])
    assert (gradients(name, weights, images, masks, parts) - whole).abs().max() <= 1e-6 * whole.abs().max()


def test_the_mean_over_parts_would_not_add_up():
    images = torch.rand(2, 1, 6, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    masks, loss = (images[:, 0] > 0.5).long(), make_loss("cross_entropy", torch.tensor([1.0, 30.0, 1.0]))
    masks[0] = 0
    whole = gradients("cross_entropy", torch.tensor([1.0, 30.0, 1.0]), images, masks, [[0, 1]])
    network = Convolutions()
    for place in range(2):
        (loss(network(images[[place]]), masks[[place]]) / 2).backward()
    naive = torch.cat([parameter.grad.flatten() for parameter in network.parameters()])
    assert (naive - whole).abs().max() > 0.1 * whole.abs().max()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("weights", WEIGHTS)
def test_a_batch_without_a_pixel_that_counts_has_no_loss(name, weights):
    logits, masks = random_batch()
    loss = make_loss(name, weights)
    assert loss.value(logits, torch.full_like(masks, IGNORE)) is None
    assert loss.value(logits, masks) == loss(logits, masks).item()


@pytest.mark.parametrize("name", NAMES)
def test_a_part_without_a_pixel_that_counts_adds_nothing_to_its_step(name):
    logits, masks = random_batch()
    loss = make_loss(name, torch.tensor([0.5, 1.0, 2.0]))
    nothing = loss(logits, torch.full_like(masks, IGNORE), loss.weights(masks))
    nothing.backward()
    assert nothing.item() == 0
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


def test_a_class_without_pixels_gets_no_weight_and_does_not_change_the_others():
    weights = balanced_weights(torch.tensor([900, 0, 100]))
    assert weights[1] == 0
    assert weights[[0, 2]].tolist() == balanced_weights(torch.tensor([900, 100])).tolist()
    assert torch.equal(balanced_weights(torch.tensor([0, 0])), torch.zeros(2))


def test_the_truth_takes_one_byte_for_each_pixel_and_class():
    num_classes, side = 20, 64
    with on_fake_tensors() as tape:
        logits = torch.empty(1, num_classes, side, side, requires_grad=True)
        masks = torch.zeros(1, side, side, dtype=torch.int64)
        make_loss("dice")(logits, masks)
    # float32: logits, probabilities, and one product at a time; the truth beside them in bool, not in 8 bytes
    assert tape.peak / (num_classes * side * side) < 3 * 4 + 1 + 1
