"""Generated pictures and a workspace of their own for every test."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

Maker = Callable[..., Path]


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("UNETLAB_HOME", str(folder))
    return folder


@pytest.fixture
def make_set(tmp_path: Path) -> Maker:
    """make_set({"1.png": label map, ...}) writes images/ and masks/ with one picture per mask; returns the folder."""

    def make(masks: Mapping[str, np.ndarray], *, folder: str = "drop") -> Path:
        for part in ("images", "masks"):
            (tmp_path / folder / part).mkdir(parents=True)
        rng = np.random.default_rng(0)
        for name, mask in masks.items():
            picture = rng.integers(0, 256, mask.shape[:2], np.uint8)
            Image.fromarray(picture).save(tmp_path / folder / "images" / name)
            Image.fromarray(mask).save(tmp_path / folder / "masks" / name)
        return tmp_path / folder

    return make


@pytest.fixture
def binary_set(make_set: Maker) -> Path:
    """Ten pairs of 12x10 px with masks 0/255, a quarter of them foreground."""
    return make_set({f"{number}.png": _quarter(number) for number in range(10)})


def _quarter(number: int) -> np.ndarray:
    mask = np.zeros((12, 10), np.uint8)
    mask[:6, :5] = 255
    return np.roll(mask, number, axis=1)
