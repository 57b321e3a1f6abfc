"""Pictures of any size are predicted. Oracles: the whole picture in one piece, a network that answers with ones."""

import contextlib

import pytest
import torch
from torch import Tensor

from tests.models.test_contract import with_settled_norms
from tests.toy import Plain
from unetlab.inference.prediction import TILE, Prediction, predict, predict_logits
from unetlab.models.unet import UNet

EVERYTHING = 10**9


class Pooling(Plain):
    """Looks at the mean of what it is given, as squeeze-and-excitation does: no tile of it can be exact."""

    def __init__(self) -> None:
        super().__init__()
        self.halo = None

    def decode(self, levels: list[Tensor]) -> Tensor:
        return super().decode(levels) + 0.1 * levels[0].mean((1, 2, 3), keepdim=True)


class Ones(Pooling):
    """Ones for each picture, whose sides it remembers."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[int, int]] = []

    def forward(self, images: Tensor) -> Tensor:
        self.seen.append((images.shape[-2], images.shape[-1]))
        return torch.ones_like(images)


@pytest.mark.parametrize(("depth", "size"), [(2, (210, 333)), (3, (331, 250)), (4, (390, 613))])
@torch.no_grad()
def test_tiles_of_a_unet_give_the_whole_pictures_logits_and_classes(depth: int, size: tuple[int, int]):
    torch.manual_seed(depth)
    images = torch.rand(1, 1, *size)
    model = with_settled_norms(UNet(1, 3, base_width=4, depth=depth), images.double()).float()
    whole = predict_logits(model, images, whole_pixels=EVERYTHING)
    passes = []
    model.register_forward_hook(lambda *_: passes.append(1))
    tiled = predict_logits(model, images, whole_pixels=1, tile=64)
    assert len(passes) > 3
    assert (tiled - whole).abs().max() < 1e-4
    best, second = whole.topk(2, dim=1).values.unbind(1)
    assert ((tiled.argmax(1) == whole.argmax(1)) | (best - second < 1e-3)).all()
    model.halo -= 2 * 2**depth  # the test can fail: with less context they differ
    assert (predict_logits(model, images, whole_pixels=1, tile=64) - whole).abs().max() > 1e-4


@torch.no_grad()
def test_tiles_of_a_network_without_a_halo_blend_into_nearly_the_whole_prediction():
    torch.manual_seed(0)
    images = torch.rand(1, 1, 150, 97)
    model = Pooling().eval()
    whole, tiled = model(images), predict_logits(model, images, whole_pixels=1, tile=64)
    # a convolution sees zeros beyond a tile's border: at equal shares that alone differs by more than 0.1
    assert 0 < (tiled - whole).abs().max() < 0.005


@torch.no_grad()
def test_a_blend_is_the_same_for_the_picture_turned_around():
    model, images = Pooling().eval(), torch.rand(1, 1, 160, 96, generator=torch.Generator().manual_seed(0))
    for layer in (model.layers[0], model.layers[2]):
        layer.weight.copy_((layer.weight + layer.weight.flip(2, 3)) / 2)
    tiled = predict_logits(model, images, whole_pixels=1, tile=64)
    turned = predict_logits(model, images.flip(2, 3), whole_pixels=1, tile=64).flip(2, 3)
    torch.testing.assert_close(turned, tiled, rtol=0, atol=1e-6)


@pytest.mark.parametrize("size", [(40, 500), (500, 40), (65, 64), (64, 97), (96, 160), (200, 130)])
@pytest.mark.parametrize("halo", [None, 2])
def test_a_picture_is_covered_without_a_gap_by_tiles_that_are_not_larger(size: tuple[int, int], halo: int | None):
    model = Ones()
    model.halo = halo
    torch.testing.assert_close(
        predict_logits(model, torch.zeros(1, 1, *size), whole_pixels=1, tile=64), torch.ones(1, 1, *size)
    )
    assert max(max(sides) for sides in model.seen) <= 64


@pytest.mark.parametrize(("whole_pixels", "count"), [(TILE * (TILE + 200), 1), (TILE * (TILE + 200) - 1, 2)])
def test_the_number_of_pixels_alone_decides_whether_there_are_tiles(whole_pixels: int, count: int):
    model = Ones()
    predict_logits(model, torch.zeros(1, 1, TILE, TILE + 200), whole_pixels=whole_pixels)
    assert len(model.seen) == count


def test_half_precision_logits_come_out_as_float32():
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for whole_pixels in (1, EVERYTHING):
            for model in (Plain(), Pooling()):
                found = predict_logits(model, torch.rand(1, 1, 8, 8), whole_pixels=whole_pixels)
                assert found.dtype == torch.float32


def test_class_ids_grow_to_the_shape_asked_for():
    logits = torch.zeros(3, 2, 2)
    logits[2, 0, 0] = logits[1, 1, 1] = 9
    assert Prediction(logits).class_ids((2, 2)).tolist() == [[2, 0], [0, 1]]
    ids = Prediction(logits).class_ids((8, 10))
    assert ids.shape == (8, 10)
    assert (ids[0, 0], ids[-1, -1], ids[0, -1]) == (2, 1, 0)


def test_a_prediction_of_several_pictures_is_what_each_logits_say_and_takes_no_gradient():
    torch.manual_seed(0)
    model, images = Plain(), torch.rand(4, 1, 6, 5)
    predictions = predict(model, images, whole_pixels=EVERYTHING, autocast=contextlib.nullcontext)
    assert len(predictions) == 4
    for predicted, logits in zip(predictions, model(images), strict=True):
        assert torch.equal(predicted.logits, logits)
        assert not predicted.logits.requires_grad
        assert (predicted.class_ids((6, 5)) == logits.argmax(0).numpy()).all()
