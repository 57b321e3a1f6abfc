"""The classic U-Net. Oracles: shapes, the parameter count on paper, what skips must and must not carry."""

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from unetlab.models.contract import pad_to_multiple
from unetlab.models.unet import UNet

SKIPS = ("concat", "add", "none")


def seeded_unet(*args: int, **options: object) -> UNet:
    torch.manual_seed(0)
    return UNet(*args, **options).eval()


@given(
    height=st.integers(1, 70),
    width=st.integers(1, 70),
    depth=st.integers(1, 4),
    skip=st.sampled_from(SKIPS),
    channels=st.integers(1, 4),
    num_classes=st.integers(2, 6),
)
@example(251, 250, 4, "concat", 3, 2)
@example(1, 1, 6, "concat", 1, 2)
@settings(deadline=None, max_examples=25)
@torch.no_grad()
def test_logits_have_the_size_of_the_picture_whatever_it_is(height, width, depth, skip, channels, num_classes):
    model = seeded_unet(channels, num_classes, base_width=2, depth=depth, skip=skip)
    logits = model(torch.rand(2, channels, height, width))
    assert logits.shape == (2, num_classes, height, width)
    assert torch.isfinite(logits).all()


@torch.no_grad()
def test_a_picture_of_any_size_is_padded_with_its_border_and_cropped_back():
    model, images = seeded_unet(1, 2, base_width=4, depth=3), torch.rand(1, 1, 21, 30)
    padded = torch.from_numpy(np.pad(images.numpy(), ((0, 0), (0, 0), (0, 3), (0, 2)), mode="edge"))
    assert torch.equal(pad_to_multiple(images, 8), padded)
    torch.testing.assert_close(model(images), model(padded)[..., :21, :30])


def test_a_size_that_fits_is_not_padded():
    images = torch.rand(1, 1, 16, 32)
    assert pad_to_multiple(images, 16) is images


def parameters_on_paper(in_channels: int, num_classes: int, base_width: int, depth: int, skip: str) -> int:
    """Counted from the architecture: two 3x3 convolutions without bias and two BatchNorms a level, 2x2 transposes."""

    def double(before: int, after: int) -> int:
        return 9 * before * after + 9 * after * after + 4 * after

    widths = [base_width * 2**level for level in range(depth + 1)]
    down = sum(double(before, after) for before, after in zip([in_channels, *widths], widths, strict=False))
    up = sum(4 * 2 * width * width + width for width in widths[:-1])
    decoder = sum(double((2 if skip == "concat" else 1) * width, width) for width in widths[:-1])
    return down + up + decoder + base_width * num_classes + num_classes


@pytest.mark.parametrize("skip", SKIPS)
@pytest.mark.parametrize("sizes", [(1, 2, 4, 2), (3, 12, 8, 4), (4, 3, 2, 1)])
def test_the_number_of_parameters_is_that_of_the_architecture(skip, sizes):
    assert sum(p.numel() for p in UNet(*sizes, skip=skip).parameters()) == parameters_on_paper(*sizes, skip)


def test_a_network_of_the_papers_width_and_depth_has_the_known_31_million_parameters():
    # 31,037,698: milesial/Pytorch-UNet UNet(3, 2, bilinear=False), the same layers
    with torch.device("meta"):
        model = UNet(3, 2, base_width=64, depth=4)
    assert sum(p.numel() for p in model.parameters()) == 31_037_698


@pytest.mark.parametrize("skip", SKIPS)
def test_no_two_parameters_share_storage(skip):
    # skips pass feature maps on; no weight is shared between encoder and decoder
    parameters = list(UNet(3, 2, base_width=4, depth=3, skip=skip).parameters())
    assert len({p.untyped_storage().data_ptr() for p in parameters}) == len(parameters)


@pytest.mark.parametrize(("skip", "is_carried"), [("concat", True), ("add", True), ("none", False)])
@torch.no_grad()
def test_only_skips_carry_the_picture_past_a_severed_bottleneck(skip, is_carried):
    model = seeded_unet(1, 2, base_width=4, depth=2, skip=skip)
    model.upsample[0].weight.zero_()  # nothing comes up from below the finest level
    first, second = model(torch.rand(1, 1, 16, 16)), model(torch.rand(1, 1, 16, 16))
    assert torch.equal(first, second) != is_carried


@pytest.mark.parametrize("skip", SKIPS)
def test_every_parameter_is_trained(skip):
    model = UNet(1, 3, base_width=4, depth=2, skip=skip)
    model(torch.rand(2, 1, 16, 16)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


@pytest.mark.parametrize("base_width", [2, 3, 4, 5, 6, 9, 12, 16, 32])
def test_group_norm_takes_equal_groups_of_two_channels_at_least_and_trains_on_one_pixel(base_width):
    model = UNet(1, 2, base_width=base_width, depth=1, norm="group").train()
    layers = [module for module in model.modules() if isinstance(module, torch.nn.GroupNorm)]
    assert len(layers) == 6
    assert all(layer.num_channels // layer.num_groups >= 2 and layer.num_groups <= 8 for layer in layers)
    assert not [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    model(torch.rand(1, 1, 2, 2)).sum().backward()


def test_with_group_norm_no_picture_depends_on_its_neighbours_in_training_and_no_tile_is_exact():
    images = torch.rand(3, 1, 16, 16)
    grouped, batched = (UNet(1, 2, base_width=4, depth=2, norm=norm).train() for norm in ("group", "batch"))
    torch.testing.assert_close(grouped(images)[:1], grouped(images[:1]))
    assert not torch.allclose(batched(images)[:1], batched(images[:1]))
    assert (grouped.halo, batched.halo) == (None, 24)
    assert sum(p.numel() for p in grouped.parameters()) == sum(p.numel() for p in batched.parameters())


@pytest.mark.parametrize("norm", ["instance", "", None])
def test_an_unknown_norm_is_answered_with_the_allowed_ones(norm):
    with pytest.raises(ValueError, match="allowed are 'batch' and 'group'"):
        UNet(1, 2, norm=norm)


@pytest.mark.parametrize("skip", ["cat", "", None])
def test_an_unknown_skip_is_answered_with_the_allowed_ones(skip):
    with pytest.raises(ValueError, match="allowed are 'concat', 'add' and 'none'"):
        UNet(1, 2, skip=skip)


def test_dropout_acts_in_training_only_and_on_whole_channels():
    model, images = seeded_unet(1, 2, base_width=4, depth=2, dropout=0.5), torch.rand(1, 1, 16, 16)
    assert torch.equal(model(images), model(images))
    dropped = model.bottleneck[1].train()(torch.ones(1, 64, 4, 4))
    assert set(dropped.unique().tolist()) == {0.0, 2.0}
    assert (dropped.amax((2, 3)) == dropped.amin((2, 3))).all()


@torch.no_grad()
def test_the_normalisation_is_that_of_normalised_pictures_and_travels_with_the_weights():
    images = torch.rand(2, 3, 16, 16)
    plain, normalising = (seeded_unet(3, 2, base_width=4, depth=2) for _ in range(2))
    mean, std = [0.1, 0.5, 0.9], [0.2, 0.3, 0.4]
    normalising.set_normalisation(mean, std)
    by_hand = (images - torch.tensor(mean).view(1, 3, 1, 1)) / torch.tensor(std).view(1, 3, 1, 1)
    torch.testing.assert_close(normalising(images), plain(by_hand))
    plain.load_state_dict(normalising.state_dict())
    assert torch.equal(plain(images), normalising(images))
