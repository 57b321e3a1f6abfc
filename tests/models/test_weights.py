"""Networks on disk. Oracles: bitwise round trip, damaged files, writes that really fail."""

import json
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError

from unetlab.errors import RunError
from unetlab.models.registry import build_model
from unetlab.models.weights import ModelCard, load_weights, save_weights
from unetlab.options import DataOptions, ModelOptions

OPTIONS = ModelOptions(base_width=4, depth=2, skip="add", dropout=0.25)


def card(epoch: int = 3, **changes: object) -> ModelCard:
    return ModelCard(
        model=OPTIONS,
        data=DataOptions(image_size=64),
        channels=3,
        low=[0, 0, 10.5],
        high=[255, 250, 200],
        classes=[{"id": 0, "name": "background"}, {"id": 1, "name": "zelle ä"}],
        reading={"kind": "values"},
        dataset="cells",
        content_hash="abc",
        epoch=epoch,
        **changes,
    )


def trained(seed: int = 0):
    """A network whose BatchNorm buffers and normalisation are not the fresh ones, laid out as training leaves it."""
    torch.manual_seed(seed)
    model = build_model(OPTIONS, channels=3, num_classes=2).to(memory_format=torch.channels_last)
    model.set_normalisation([0.1, 0.2, 0.3], [0.4, 0.5, 0.6])
    model(torch.rand(2, 3, 16, 16))
    return model


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run folder of its own with a saved pair `best`."""
    path = tmp_path / "run"
    path.mkdir()
    save_weights(trained(), card(), path / "best.safetensors")
    return path


def test_weights_buffers_and_card_come_back_to_the_bit(folder):
    model, loaded_card = load_weights(folder / "best.safetensors")
    expected = trained().state_dict()
    assert loaded_card == card()
    assert not model.training
    assert model.state_dict().keys() == expected.keys()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in model.state_dict().items())
    images = torch.rand(1, 3, 20, 20)
    assert torch.equal(model(images), trained().eval().to(memory_format=torch.contiguous_format)(images))


def test_a_pair_is_two_files_and_the_card_is_readable(folder):
    assert sorted(contents(folder)) == ["best.json", "best.safetensors"]
    values = json.loads((folder / "best.json").read_text(encoding="utf-8"))
    assert values["classes"][1]["name"] == "zelle ä"
    assert values["model"]["skip"] == "add"


def test_saving_again_replaces_the_pair(folder):
    save_weights(trained(seed=1), card(epoch=4), folder / "best.safetensors")
    model, loaded_card = load_weights(folder / "best.safetensors")
    assert loaded_card.epoch == 4
    assert torch.equal(model.head.weight, trained(seed=1).head.weight)
    assert len(contents(folder)) == 2


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def leave_three_bytes(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:3])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def scribble(path: Path) -> None:
    path.write_bytes(b"\xff" * 500)


def remove(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("damage", [truncate, leave_three_bytes, empty, scribble, remove], ids=lambda f: f.__name__)
@pytest.mark.parametrize("suffix", [".safetensors", ".json"])
def test_a_damaged_or_missing_file_is_said_to_be_unusable(folder, damage: Callable[[Path], None], suffix):
    damage(folder / f"best{suffix}")
    with pytest.raises(RunError, match=r"No usable weights at best\.safetensors: .*Train the run again"):
        load_weights(folder / "best.safetensors")


@pytest.mark.parametrize(
    "change",
    [{"channels": 1}, {"model": {"depth": 3}}, {"model": {"base_width": -1}}, {"classes": [{"id": 0}]}, {"epoch": "x"}],
)
def test_a_card_that_does_not_fit_its_weights_is_said_to_be_unusable(folder, change):
    path = folder / "best.json"
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **change}), encoding="utf-8")
    with pytest.raises(RunError, match="No usable weights"):
        load_weights(folder / "best.safetensors")


@contextmanager
def largest_file(limit_bytes: int) -> Iterator[None]:
    """No file may grow beyond `limit_bytes`: a disk without room, asked of the system."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("limit_bytes", [0, 1000])
def test_a_disk_without_room_for_the_weights_keeps_the_old_pair(folder, limit_bytes):
    before = contents(folder)
    with largest_file(limit_bytes), pytest.raises((OSError, SafetensorError), match="File too large"):
        save_weights(trained(seed=1), card(epoch=4), folder / "best.safetensors")
    assert contents(folder) == before


def test_a_disk_without_room_for_the_card_keeps_the_old_pair(folder):
    before = contents(folder)
    size = len(before["best.safetensors"])
    long_card = card(epoch=4, valid={"remark": "x" * 2 * size})
    with largest_file(size + 100), pytest.raises(OSError, match="File too large"):
        save_weights(trained(seed=1), long_card, folder / "best.safetensors")
    assert contents(folder) == before
