"""A small data set for all training tests, and a learner and batches over it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from unetlab.data.dataset import DataSet, open_dataset
from unetlab.data.importing import import_dataset
from unetlab.data.samples import make_nuclei
from unetlab.inference.pictures import Pictures
from unetlab.models.unet import UNet
from unetlab.options import DataOptions
from unetlab.training.batches import TrainingBatches
from unetlab.training.learner import Learner
from unetlab.training.losses import make_loss
from unetlab.workspace import open_workspace

CPU = torch.device("cpu")
ImportPairs = Callable[..., DataSet]
MakeBatches = Callable[..., TrainingBatches]
MakeLearner = Callable[..., Learner]


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """One thread: for pictures this small more bring nothing, and on a busy machine they wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def import_pairs(tmp_path_factory: pytest.TempPathFactory) -> ImportPairs:
    """import_pairs([(name, picture, mask)], name=...) imports them like anybody's files; the opened data set."""

    def make(pairs: list[tuple[str, np.ndarray, np.ndarray]], *, name: str) -> DataSet:
        root: Path = tmp_path_factory.mktemp("datasets")
        drop = tmp_path_factory.mktemp("drop")
        for part in ("images", "masks"):
            (drop / part).mkdir()
        for pair, picture, mask in pairs:
            Image.fromarray(picture).save(drop / "images" / f"{pair}.png")
            Image.fromarray(mask).save(drop / "masks" / f"{pair}.png")
        import_dataset(open_workspace(root), [drop], name=name)
        return open_dataset(open_workspace(root), name)

    return make


@pytest.fixture(scope="session")
def nuclei(import_pairs: ImportPairs) -> DataSet:
    """Ten pictures of nuclei, 48x48 px and 48x40 px in turn: 8 to train, 2 to validate; classes 0 and 1."""
    pairs = make_nuclei(count=10, size=48)
    cut = [
        (name, picture[:, : 48 - 8 * (i % 2)], mask[:, : 48 - 8 * (i % 2)])
        for i, (name, picture, mask) in enumerate(pairs)
    ]
    return import_pairs(cut, name="nuclei")


@pytest.fixture
def make_batches(nuclei: DataSet) -> MakeBatches:
    """make_batches(size_mode=..., image_size=..., batch_size=..., augment=..., seed=..., data=...)."""

    def make(
        *,
        data: DataSet = nuclei,
        image_size: int = 24,
        size_mode: str = "resize",
        batch_size: int = 4,
        augment: str = "none",
        seed: int = 0,
    ) -> TrainingBatches:
        pictures = Pictures(data, DataOptions(image_size=image_size, size_mode=size_mode))
        return TrainingBatches(pictures, batch_size=batch_size, augment=augment, seed=seed, device=CPU)

    return make


@pytest.fixture
def make_learner() -> MakeLearner:
    """make_learner(seed=..., dropout=..., loss=..., precision_name=..., ...): a small U-Net and its optimizer."""

    def make(
        *,
        seed: int = 0,
        channels: int = 1,
        num_classes: int = 2,
        base_width: int = 4,
        depth: int = 2,
        dropout: float = 0.0,
        loss: str = "cross_entropy+dice",
        **options: object,
    ) -> Learner:
        torch.manual_seed(seed)
        model = UNet(channels, num_classes, base_width, depth, dropout=dropout)
        return Learner(model, make_loss(loss), device=CPU, **options)

    return make
