"""The data sets that choices and defaults are tried on: the sample, three real sets and two made here.

Real sets come from the folder $UNETLAB_TEST_DATA, by default ../shared/data. Made ones are the same for the same seed.
"""

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from measuring import ROOT
from PIL import Image

from unetlab.data.importing import import_dataset
from unetlab.data.samples import create_sample
from unetlab.workspace import own_workspace

Pair = tuple[np.ndarray, np.ndarray]  # picture and mask, uint8
NUM_PAIRS, SIDE = 72, 128


@dataclass(frozen=True)
class BenchSet:
    """How a set comes into the workspace, and how its pictures reach the network."""

    create: Callable[[str], object]
    options: dict[str, object]


def test_data() -> Path:
    """The folder of the real sets; ends the script if it is not there."""
    folder = Path(os.environ.get("UNETLAB_TEST_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        raise SystemExit(f"{folder} is not there. Name the folder of the test data in UNETLAB_TEST_DATA.")
    return folder


def _sample(name: str) -> None:
    create_sample(own_workspace(), name)


def _real(name: str, *, folder: str, reading: str | None = None) -> None:
    import_dataset(own_workspace(), [test_data() / folder], name=name, reading=reading)


def _made(name: str, *, draw: Callable[[np.random.Generator], Pair], classes: list[str]) -> None:
    with tempfile.TemporaryDirectory(prefix="unetlab-made-") as folder:
        for part in ("images", "masks"):
            (Path(folder) / part).mkdir()
        for number in range(NUM_PAIRS):
            picture, mask = draw(np.random.default_rng([0, number]))
            Image.fromarray(picture).save(Path(folder) / "images" / f"{number:03}.png")
            Image.fromarray(mask).save(Path(folder) / "masks" / f"{number:03}.png")
        (Path(folder) / "class_names.txt").write_text("\n".join(classes) + "\n", encoding="utf-8")
        import_dataset(own_workspace(), [Path(folder)], name=name)


def defects(rng: np.random.Generator) -> Pair:
    """A rough grey surface with scratches and stains that are no defects, and pits that are: 3 % of the pixels.

    A pit has a dark middle and a bright rim; a stain of the same size has no rim.
    """
    surface = 0.5 + 0.10 * _smooth(rng, 12) + 0.07 * _smooth(rng, 3) + rng.normal(0, 0.04, (SIDE, SIDE))
    rows, columns = np.mgrid[:SIDE, :SIDE]
    for _ in range(rng.integers(1, 4)):
        angle, offset = rng.uniform(0, np.pi), rng.uniform(0, SIDE)
        along = np.cos(angle) * (rows - SIDE / 2) + np.sin(angle) * (columns - SIDE / 2)
        surface -= rng.uniform(0.05, 0.15) * np.exp(-(((along - offset + SIDE / 2) / 1.2) ** 2))
    mask = np.zeros((SIDE, SIDE), np.uint8)
    for is_pit in rng.permutation([True] * rng.integers(5, 10) + [False] * rng.integers(3, 7)):
        row, column = rng.uniform(6, SIDE - 6, 2)
        radius, depth = rng.uniform(2.6, 5.2), rng.uniform(0.10, 0.25)
        distance = np.hypot(rows - row, (columns - column) * rng.uniform(0.8, 1.25))
        surface -= depth / (1 + np.exp((distance - radius) * 2))
        if is_pit:
            surface += 0.7 * depth * np.exp(-(((distance - radius - 1) / 1.2) ** 2))
            mask[distance < radius + 1] = 1
    return (np.clip(surface, 0, 1) * 255).round().astype(np.uint8), mask


def textures(rng: np.random.Generator) -> Pair:
    """Patches of five textures with the same mean and contrast: grains, blots, two directions of stripes, checks."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    count = rng.integers(6, 11)
    seeds, kinds = rng.uniform(0, SIDE, (count, 2)), rng.integers(0, 5, count)
    warped = [axis + 6 * _smooth(rng, 10) for axis in (rows, columns)]
    nearest = np.stack([np.hypot(warped[0] - row, warped[1] - column) for row, column in seeds]).argmin(0)
    mask = kinds[nearest].astype(np.uint8)
    period = rng.uniform(5, 8)
    wave = 2 * np.pi / period
    drawn = [
        _smooth(rng, 0.7),
        _smooth(rng, 2.5),
        np.sqrt(2) * np.sin(wave * (rows + columns) / np.sqrt(2) + rng.uniform(0, 6)),
        np.sqrt(2) * np.sin(wave * (rows - columns) / np.sqrt(2) + rng.uniform(0, 6)),
        2 * np.sin(wave * rows + rng.uniform(0, 6)) * np.sin(wave * columns + rng.uniform(0, 6)),
    ]
    surface = 0.5 + 0.12 * np.choose(mask, drawn) + rng.normal(0, 0.06, (SIDE, SIDE)) + 0.08 * _smooth(rng, 20)
    return (np.clip(surface, 0, 1) * 255).round().astype(np.uint8), mask


def _smooth(rng: np.random.Generator, width: float) -> np.ndarray:
    """Gaussian noise (SIDE,SIDE) blurred over `width` px on a torus; mean 0, standard deviation 1."""
    frequency = np.hypot(np.fft.fftfreq(SIDE)[:, None], np.fft.fftfreq(SIDE))
    kernel = np.exp(-2 * (np.pi * frequency * width) ** 2)
    field = np.fft.ifft2(np.fft.fft2(rng.normal(size=(SIDE, SIDE))) * kernel).real
    return (field - field.mean()) / field.std()


SETS = {
    "sample": BenchSet(_sample, {"data.image_size": SIDE}),
    "isbi": BenchSet(partial(_real, folder="isbi_membrane"), {"data.image_size": 128, "data.size_mode": "tile"}),
    "crackforest": BenchSet(
        partial(_real, folder="crackforest", reading="binary"), {"data.image_size": 128, "data.size_mode": "crop"}
    ),
    "camvid": BenchSet(partial(_real, folder="camvid"), {"data.image_size": 128}),
    "defects": BenchSet(partial(_made, draw=defects, classes=["surface", "pit"]), {"data.image_size": SIDE}),
    "textures": BenchSet(
        partial(_made, draw=textures, classes=["grains", "blots", "stripes up", "stripes down", "checks"]),
        {"data.image_size": SIDE},
    ),
}
