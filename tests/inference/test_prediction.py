"""Pictures of any size are predicted. Oracles: the untiled prediction, a network that answers with ones."""

import contextlib

import torch
from torch import nn

from unetlab.inference.prediction import TILE, Prediction, predict, predict_logits


def test_tiles_of_a_large_picture_blend_into_the_whole_prediction():
    torch.manual_seed(0)
    images = torch.rand(1, 1, TILE + 300, TILE + 1)
    point, near = nn.Conv2d(1, 3, 1), nn.Conv2d(1, 3, 3, padding=1)
    with torch.no_grad():
        torch.testing.assert_close(predict_logits(point, images), point(images), rtol=1e-4, atol=1e-5)
        difference = (predict_logits(near, images) - near(images)).abs()
    # a tile's border sees zeros instead of its neighbour; the blend gives it next to no weight
    assert difference.max() < 0.05
    assert (difference > 1e-4).float().mean() < 0.02


def test_a_tall_or_a_wide_picture_is_covered_without_a_gap():
    class Ones(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            assert max(images.shape[-2:]) <= TILE
            return torch.ones_like(images)

    for height, width in ((400, 5000), (5000, 400), (TILE + 1, TILE), (TILE, 2 * TILE - 128)):
        torch.testing.assert_close(
            predict_logits(Ones(), torch.zeros(1, 1, height, width)), torch.ones(1, 1, height, width)
        )


def test_half_precision_logits_come_out_as_float32():
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert predict_logits(nn.Conv2d(1, 2, 1), torch.rand(1, 1, 8, 8)).dtype == torch.float32


def test_class_ids_grow_to_the_shape_asked_for():
    logits = torch.zeros(3, 2, 2)
    logits[2, 0, 0] = logits[1, 1, 1] = 9
    assert Prediction(logits).class_ids((2, 2)).tolist() == [[2, 0], [0, 1]]
    ids = Prediction(logits).class_ids((8, 10))
    assert ids.shape == (8, 10)
    assert (ids[0, 0], ids[-1, -1], ids[0, -1]) == (2, 1, 0)


def test_a_prediction_of_several_pictures_is_what_each_logits_say_and_takes_no_gradient():
    torch.manual_seed(0)
    model, images = nn.Conv2d(1, 3, 1), torch.rand(4, 1, 6, 5)
    predictions = predict(model, images, autocast=contextlib.nullcontext)
    assert len(predictions) == 4
    for predicted, logits in zip(predictions, model(images), strict=True):
        assert torch.equal(predicted.logits, logits)
        assert not predicted.logits.requires_grad
        assert (predicted.class_ids((6, 5)) == logits.argmax(0).numpy()).all()
