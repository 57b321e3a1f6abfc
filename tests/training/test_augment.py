"""Augmentation. Oracles: a picture that equals its mask must still do so afterwards; exact flips; the same seed."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unetlab.data.dataset import IGNORE
from unetlab.training import augment as module
from unetlab.training.augment import STRENGTHS, augment

NAMES = ("flips", "standard", "strong")


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def blocks(*, batch: int = 6, height: int = 32, width: int = 48) -> torch.Tensor:
    """masks (B,H,W) of 0 and 1 in random 8x8 blocks: no symmetry, and areas larger than a pixel."""
    coarse = torch.randint(0, 2, (batch, height // 8, width // 8), generator=seeded(7))
    return coarse.repeat_interleave(8, 1).repeat_interleave(8, 2)


def test_none_changes_nothing():
    images, masks = torch.rand(2, 3, 8, 8), torch.zeros(2, 8, 8, dtype=torch.int64)
    out_images, out_masks = augment(images, masks, "none", seeded())
    assert out_images is images
    assert out_masks is masks


def test_flips_are_exact_and_each_picture_draws_its_own():
    images, masks = torch.rand(32, 2, 5, 7, generator=seeded()), torch.randint(0, 4, (32, 5, 7), generator=seeded())
    out_images, out_masks = augment(images, masks, "flips", seeded(1))
    is_flipped = torch.tensor([torch.equal(out, image.flip(-1)) for out, image in zip(out_images, images, strict=True)])
    assert 8 <= is_flipped.sum() <= 24  # a fair coin, 32 times
    for i in range(32):
        assert torch.equal(out_images[i], images[i].flip(-1) if is_flipped[i] else images[i])
        assert torch.equal(out_masks[i], masks[i].flip(-1) if is_flipped[i] else masks[i])


@pytest.mark.parametrize("name", NAMES)
def test_picture_and_mask_go_through_one_geometry(name, monkeypatch):
    without_light = module.Strength(**{**vars(STRENGTHS[name]), "light": 0.0})
    monkeypatch.setitem(module.STRENGTHS, name, without_light)
    masks = blocks()
    images, turned = augment(masks[:, None].float(), masks, name, seeded(3))
    assert not torch.equal(turned, masks)
    # where bilinear saw one class only, nearest saw it too; the rest lies on the edge between two
    is_sure = (images < 1e-4) | (images > 1 - 1e-4)
    assert is_sure.float().mean() > 0.6
    assert torch.equal(images.round().long()[is_sure], turned[:, None][is_sure])


@given(
    seed=st.integers(0, 10_000),
    name=st.sampled_from(NAMES),
    ids=st.lists(st.integers(0, 255), min_size=1, max_size=4, unique=True),
)
@settings(deadline=None, max_examples=60)
def test_a_mask_holds_only_ids_that_were_there(seed, name, ids):
    masks = torch.tensor(ids)[torch.randint(0, len(ids), (3, 9, 16), generator=seeded(seed))]
    images, turned = augment(torch.rand(3, 1, 9, 16, generator=seeded(seed)), masks, name, seeded(seed))
    assert turned.dtype == torch.int64
    assert turned.shape == masks.shape
    assert set(turned.unique().tolist()) <= set(ids)
    assert images.min() >= 0
    assert images.max() <= 1


@pytest.mark.parametrize("name", NAMES)
def test_the_seed_decides_everything(name):
    images, masks = torch.rand(4, 1, 16, 16, generator=seeded()), blocks(batch=4, height=16, width=16)
    first, second, other = (augment(images, masks, name, seeded(seed)) for seed in (5, 5, 6))
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])
    assert not torch.equal(first[0], other[0])


def test_the_global_random_state_is_left_alone():
    before = torch.get_rng_state()
    augment(torch.rand(2, 1, 8, 8, generator=seeded()), blocks(batch=2, height=8, width=8), "strong", seeded())
    assert torch.equal(torch.get_rng_state(), before)


def test_light_moves_the_picture_and_not_the_mask(monkeypatch):
    monkeypatch.setitem(module.STRENGTHS, "standard", module.Strength(light=0.15))
    images, masks = torch.full((64, 1, 4, 4), 0.5), torch.zeros(64, 4, 4, dtype=torch.int64)
    lit, same = augment(images, masks, "standard", seeded())
    assert torch.equal(same, masks)
    shift = (lit - images)[:, 0, 0, 0]
    assert shift.abs().max() <= 0.15
    assert shift.min() < -0.1
    assert shift.max() > 0.1


@pytest.mark.parametrize(("height", "width"), [(33, 33), (33, 65)])
def test_a_quarter_turn_is_a_quarter_turn_also_of_a_wide_picture(height, width):
    masks = torch.zeros(1, height, width, dtype=torch.int64)
    masks[0, height // 2, width // 2 : width // 2 + 13] = 1  # a ray from the centre to the right
    quarter, unit = torch.tensor([math.pi / 2]), torch.ones(1)
    _, turned = module._rotate_and_scale(masks[:, None].float(), masks, quarter, unit)
    rows, columns = torch.nonzero(turned[0], as_tuple=True)
    assert set(columns.tolist()) == {width // 2}
    assert len(rows) == 13
    assert (rows.max() - rows.min()).item() == 12


def test_scaling_up_enlarges_by_its_factor():
    masks = torch.zeros(1, 64, 64, dtype=torch.int64)
    masks[0, 22:42, 22:42] = 1
    _, turned = module._rotate_and_scale(masks[:, None].float(), masks, torch.zeros(1), torch.tensor([1.3]))
    assert turned.sum().item() == pytest.approx(26 * 26, rel=0.01)


def test_what_a_rotation_brings_in_is_mirrored_and_never_left_empty():
    images, masks = torch.ones(8, 1, 24, 24), torch.full((8, 24, 24), IGNORE)
    _, turned = augment(images, masks, "strong", seeded())
    assert (turned == IGNORE).all()
