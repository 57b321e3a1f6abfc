"""Networks built from their card. Oracles: the options' own list of names, a machine without a network."""

import socket
from pathlib import Path
from typing import get_args

import pytest
import torch

from unetlab.models.contract import SegmentationModel
from unetlab.models.registry import MODELS, build_model
from unetlab.models.unet import UNet
from unetlab.models.weights import ModelCard, load_weights, save_weights
from unetlab.options import DataOptions, ModelOptions

SMALL = ModelOptions(base_width=4, depth=2, skip="add", dropout=0.25)


def test_every_name_that_can_be_asked_for_is_registered_and_no_other():
    assert set(MODELS) == set(get_args(ModelOptions.model_fields["name"].annotation))


@pytest.mark.parametrize("name", MODELS)
def test_a_card_gives_the_network_that_it_describes(name):
    model = build_model(ModelOptions(name=name, base_width=4, depth=2), channels=3, num_classes=5)
    assert isinstance(model, SegmentationModel)
    assert (model.in_channels, model.num_classes) == (3, 5)
    assert model(torch.rand(1, 3, 9, 7)).shape == (1, 5, 9, 7)


def test_the_unets_options_reach_it():
    model = build_model(SMALL, channels=1, num_classes=2)
    assert isinstance(model, UNet)
    assert (model.skip, model.size_multiple, model.head.in_channels, model.bottleneck[1].p) == ("add", 4, 4, 0.25)


@pytest.mark.parametrize("name", MODELS)
def test_on_the_meta_device_it_has_shapes_and_no_contents(name):
    options = ModelOptions(name=name, base_width=8, depth=3)
    with torch.device("meta"):
        empty = build_model(options, channels=1, num_classes=2)
    real = build_model(options, channels=1, num_classes=2)
    assert {tensor.device.type for tensor in [*empty.parameters(), *empty.buffers()]} == {"meta"}
    shapes = [{key: tensor.shape for key, tensor in model.state_dict().items()} for model in (empty, real)]
    assert shapes[0] == shapes[1]
    assert (empty.size_multiple, empty.halo) == (real.size_multiple, real.halo)


@pytest.mark.parametrize("name", MODELS)
def test_building_and_loading_open_no_connection(name, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(*args: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    options = ModelOptions(name=name, base_width=4, depth=2)
    card = ModelCard(
        model=options, data=DataOptions(), channels=1, low=[0], high=[1], classes=[{"id": 0}, {"id": 1}],
        reading={}, dataset="cells", content_hash="abc", epoch=0,
    )  # fmt: skip
    save_weights(build_model(options, channels=1, num_classes=2), card, tmp_path / "best.safetensors")
    load_weights(tmp_path / "best.safetensors")
