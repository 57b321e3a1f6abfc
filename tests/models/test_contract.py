"""What every network promises. Oracles: the parameters' identities, the whole picture, the bits from before."""

import itertools

import pytest
import torch
from torch import Tensor, nn

from tests.toy import Plain, Toy
from unetlab.models.contract import NORM_LAYERS, SegmentationModel
from unetlab.models.unet import UNet

NETWORKS = {
    "unet": lambda: UNet(1, 2, base_width=4, depth=2, dropout=0.2),
    "unet-add": lambda: UNet(1, 2, base_width=4, depth=3, skip="add"),
    "unet-none": lambda: UNet(1, 2, base_width=2, depth=1, skip="none"),
    "toy": Toy,
    "plain": Plain,
}


@pytest.fixture(params=NETWORKS)
def model(request: pytest.FixtureRequest) -> SegmentationModel:
    torch.manual_seed(0)
    return NETWORKS[request.param]()


def names_in_groups(model: SegmentationModel) -> list[tuple[str, list[str]]]:
    """(group, names of its parameters) in the groups' order."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return [
        (group.name, [names[id(parameter)] for parameter in group.parameters]) for group in model.parameter_groups()
    ]


def test_every_parameter_is_in_one_group_and_the_groups_have_names_of_their_own(model):
    groups = names_in_groups(model)
    together = [name for _, names in groups for name in names]
    assert sorted(together) == sorted(name for name, _ in model.named_parameters())
    assert len({name for name, _ in groups}) == len(groups) >= 2
    assert all(names for _, names in groups)


@pytest.mark.parametrize("norm", ["hold", "train"])
def test_groups_stay_what_they_are_whatever_is_frozen(model, norm):
    before = names_in_groups(model)
    model.freeze_encoder(norm=norm)
    assert names_in_groups(model) == before


def test_groups_run_from_input_to_output():
    assert [name for name, _ in names_in_groups(UNet(1, 2, base_width=4, depth=2))] == ["encoder", "decoder"]
    encoder, decoder = (names for _, names in names_in_groups(UNet(1, 2, base_width=4, depth=2)))
    assert {name.partition(".")[0] for name in encoder} == {"encoder", "bottleneck"}
    assert {name.partition(".")[0] for name in decoder} == {"upsample", "decoder", "head"}


@torch.no_grad()
def test_the_core_is_decode_after_encode_on_normalised_multiples(model):
    model.set_normalisation([0.25], [0.5])
    side = 3 * model.size_multiple
    images = torch.rand(2, 1, side, 2 * side)
    by_hand = model.eval().decode(model.encode((images - 0.25) / 0.5))
    assert torch.equal(model(images), by_hand)
    assert torch.equal(model.core((images - 0.25) / 0.5), by_hand)


@pytest.mark.parametrize(("skip", "is_carried"), [("concat", True), ("add", True), ("none", False)])
@torch.no_grad()
def test_a_level_that_is_replaced_reaches_the_logits_where_there_are_skips(skip, is_carried):
    model = UNet(1, 2, base_width=4, depth=2, skip=skip).eval()
    levels = model.encode(torch.rand(1, 1, 16, 16))
    assert [tuple(level.shape) for level in levels] == [(1, 4, 16, 16), (1, 8, 8, 8), (1, 16, 4, 4)]
    switched_off = [torch.zeros_like(levels[0]), *levels[1:]]
    assert torch.equal(model.decode(levels), model.decode(switched_off)) != is_carried


class Core(nn.Module):
    """`core` as a module of its own, as an export takes it."""

    def __init__(self, model: SegmentationModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        return self.model.core(x)


@torch.no_grad()
def test_the_core_has_no_branch_on_a_size():
    model = UNet(1, 2, base_width=2, depth=2).eval()
    free = {2: 4 * torch.export.Dim("rows", min=2, max=64), 3: 4 * torch.export.Dim("columns", min=2, max=64)}
    exported = torch.export.export(Core(model), (torch.rand(2, 1, 32, 16),), dynamic_shapes=({0: None, **free},))
    for size in ((8, 8), (24, 64)):
        x = torch.rand(2, 1, *size)
        torch.testing.assert_close(exported.module()(x), model.core(x))


@torch.no_grad()
def in_tiles(model: SegmentationModel, images: Tensor, *, tile: int, halo: int) -> Tensor:
    """The prediction put together from tiles whose context of `halo` px is cut off; none reaches over the picture."""
    height, width = images.shape[-2:]
    rows = []
    for top in range(0, height, tile):
        row = []
        for left in range(0, width, tile):
            above, before = min(top, halo), min(left, halo)
            window = images[..., top - above : top + tile + halo, left - before : left + tile + halo]
            row.append(model(window)[..., above : above + tile, before : before + tile])
        rows.append(torch.cat(row, -1))
    return torch.cat(rows, -2)


def with_settled_norms(model: SegmentationModel, images: Tensor) -> SegmentationModel:
    """fp64, evaluation mode, BatchNorm's statistics those of `images`: no layer's signal fades away."""
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = None  # a plain mean over all batches
    model.double().train()
    with torch.no_grad():
        model(images)
    return model.eval()


@pytest.mark.parametrize(("depth", "skip"), [(1, "concat"), (2, "concat"), (2, "none"), (3, "add"), (3, "concat")])
@torch.no_grad()
def test_tiles_with_the_halo_are_the_whole_picture_and_with_one_multiple_less_they_are_not(depth, skip):
    torch.manual_seed(depth)
    multiple = 2**depth
    # no multiple of anything: tiles at the bottom and right are padded as the whole picture is
    images = torch.rand(1, 1, 16 * multiple + 1, 14 * multiple - 1, dtype=torch.float64)
    model = with_settled_norms(UNet(1, 2, base_width=2, depth=depth, skip=skip), images)
    assert model.halo == 6 * multiple
    whole = model(images)
    exact = (in_tiles(model, images, tile=2 * multiple, halo=model.halo) - whole).abs().max()
    short = (in_tiles(model, images, tile=2 * multiple, halo=model.halo - multiple) - whole).abs().max()
    assert exact < 1e-12
    # what is felt is 6·2^depth - 2 px away: 10 at depth 1, which five multiples of 2 cover as well
    assert (short > 1e-9) == (depth > 1)


@torch.no_grad()
def test_a_toy_keeps_its_promise_about_tiles_too():
    torch.manual_seed(0)
    images = torch.rand(1, 1, 21, 18, dtype=torch.float64)
    for network in (Toy(), Plain()):
        model = with_settled_norms(network, images)
        assert (in_tiles(model, images, tile=4, halo=model.halo) - model(images)).abs().max() < 1e-12


def encoder_state(model: SegmentationModel) -> list[Tensor]:
    return [tensor for module in model.encoder_modules() for tensor in module.state_dict().values()]


def norms_of(model: SegmentationModel) -> list[nn.Module]:
    return [layer for module in model.encoder_modules() for layer in module.modules() if isinstance(layer, NORM_LAYERS)]


@pytest.mark.parametrize("norm", ["hold", "train"])
@pytest.mark.parametrize("network", ["unet", "toy"])
def test_a_frozen_encoders_norm_layers_keep_their_mode_through_train_and_eval(network, norm):
    model = NETWORKS[network]()
    model.freeze_encoder(norm=norm)
    for is_training in (True, False, True):
        model.train(is_training)
        assert {layer.training for layer in norms_of(model)} == {is_training and norm == "train"}
        others = [layer for layer in model.modules() if layer not in norms_of(model)]
        assert {layer.training for layer in others} == {is_training}
    assert {p.requires_grad for layer in norms_of(model) for p in layer.parameters()} == {norm == "train"}
    of_norms = {id(p) for layer in norms_of(model) for p in layer.parameters()}
    encoder = [p for module in model.encoder_modules() for p in module.parameters() if id(p) not in of_norms]
    assert encoder
    assert not any(p.requires_grad for p in encoder)


@pytest.mark.parametrize("network", ["unet", "toy"])
def test_freezing_outlives_the_conversion_to_sync_batchnorm(network):
    model = NETWORKS[network]()
    model.freeze_encoder(norm="hold")
    converted = nn.SyncBatchNorm.convert_sync_batchnorm(model).train()
    assert all(isinstance(layer, nn.SyncBatchNorm) for layer in norms_of(converted))
    assert not any(layer.training for layer in norms_of(converted))
    assert not any(p.requires_grad for module in converted.encoder_modules() for p in module.parameters())


def test_freezing_acts_at_once_in_the_mode_the_model_is_in():
    model = Toy().train()
    model.freeze_encoder(norm="hold")
    assert not any(layer.training for layer in norms_of(model))
    assert model.training


@pytest.mark.parametrize("norm", ["held", "", None])
def test_an_unknown_way_to_freeze_is_answered_with_the_allowed_ones(norm):
    with pytest.raises(ValueError, match="allowed are 'hold' and 'train'"):
        Toy().freeze_encoder(norm=norm)


def test_a_network_without_one_of_its_parts_cannot_be_made():
    class Half(SegmentationModel):
        def encode(self, images: Tensor) -> list[Tensor]:
            return [images]

    with pytest.raises(TypeError, match=r"abstract methods? '?decode"):
        Half(1, 2, size_multiple=1, halo=0)


def test_the_unets_weights_keep_their_names_and_their_order():
    blocks = [f"encoder.{level}" for level in range(2)] + ["bottleneck.0"]
    conv, norm = ("weight",), ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    layers = ((0, conv), (1, norm), (3, conv), (4, norm))

    def named(block: str) -> list[str]:
        return [f"{block}.{number}.{part}" for number, parts in layers for part in parts]

    upsample = [f"upsample.{level}.{part}" for level, part in itertools.product(range(2), ("weight", "bias"))]
    expected = ["mean", "std", *(name for block in blocks for name in named(block)), *upsample]
    expected += [*(name for level in range(2) for name in named(f"decoder.{level}")), "head.weight", "head.bias"]
    assert list(UNet(1, 2, base_width=2, depth=2).state_dict()) == expected


def test_the_unets_random_weights_are_drawn_layer_by_layer_from_encoder_to_head():
    torch.manual_seed(7)
    pairs = [(1, 2), (2, 2), (2, 4), (4, 4), (4, 8), (8, 8)]
    drawn: list[nn.Module] = [nn.Conv2d(*pair, 3, bias=False) for pair in pairs]
    drawn += [nn.ConvTranspose2d(*pair, 2, stride=2) for pair in ((4, 2), (8, 4))]
    drawn += [nn.Conv2d(*pair, 3, bias=False) for pair in ((4, 2), (2, 2), (8, 4), (4, 4))]
    drawn.append(nn.Conv2d(2, 3, 1))
    torch.manual_seed(7)
    model = UNet(1, 3, base_width=2, depth=2)
    layers = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)]
    for layer, expected in zip(layers, drawn, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(layer.parameters(), expected.parameters(), strict=True))
