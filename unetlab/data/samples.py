"""The built-in sample: synthetic fluorescence nuclei, made here and labelled as synthetic.

Sharp nuclei of very different brightness are the class. Blurred ones lie out of focus and are background, as
are haze and the uneven light: no brightness threshold separates them, sharpness does.
"""

import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from unetlab.data.dataset import open_dataset
from unetlab.data.importing import Progress, import_dataset
from unetlab.data.manifest import Manifest
from unetlab.workspace import Workspace

NOTE = "Synthetic: {count} pictures of fluorescent nuclei, made by unetlab (seed {seed}). Not a measurement."
SHARP_PX, BLURRED_PX = (0.6, 1.0), (3.5, 6.0)  # width of an object's rim
PHOTONS = 250  # at full brightness; shot noise grows with the light
READ_NOISE = 0.012


def make_nuclei(*, count: int = 36, size: int = 128, seed: int = 0) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """(name, picture, mask) of `count` synthetic nuclei pictures; the same for the same seed.

    Picture: uint8 (H,W). Mask: uint8 (H,W), 255 on nuclei in focus, else 0.
    """
    digits = len(str(count))
    return [
        (f"nuclei_{number + 1:0{digits}}", *_one(np.random.default_rng([seed, number]), size))
        for number in range(count)
    ]


def create_sample(
    workspace: Workspace, name: str = "sample", *, progress: Progress | None = None, seed: int = 0
) -> Manifest:
    """The sample as data set `name`, imported like any other files; an existing one is returned as it is."""
    if (workspace.datasets / name / "manifest.json").is_file():
        return open_dataset(workspace, name).manifest
    with tempfile.TemporaryDirectory(prefix="unetlab-sample-") as folder:
        pictures = make_nuclei(seed=seed)
        for part in ("images", "masks"):
            (Path(folder) / part).mkdir()
        for picture_name, picture, mask in pictures:
            Image.fromarray(picture).save(Path(folder) / "images" / f"{picture_name}.png")
            Image.fromarray(mask).save(Path(folder) / "masks" / f"{picture_name}_mask.png")
        (Path(folder) / "class_names.txt").write_text("background\nnucleus\n", encoding="utf-8")
        note = NOTE.format(count=len(pictures), seed=seed)
        return import_dataset(workspace, [Path(folder)], name=name, note=note, progress=progress)


def _one(rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
    """One picture and its mask: light, haze, blurred nuclei, nuclei in focus, noise."""
    rows, columns = np.mgrid[:size, :size] / size
    angle, slope = rng.uniform(0, 2 * np.pi), rng.uniform(0.05, 0.2)
    light = 0.1 + slope * ((columns - 0.5) * np.cos(angle) + (rows - 0.5) * np.sin(angle) + 0.7)
    for _ in range(3):
        centre, spread = rng.uniform(0, 1, 2), rng.uniform(0.15, 0.35)
        light += rng.uniform(0, 0.12) * np.exp(-((rows - centre[0]) ** 2 + (columns - centre[1]) ** 2) / spread**2)
    scale = size / 128
    for _ in range(rng.integers(3, 7)):
        distance = _distance(rng, size, radius=rng.uniform(8, 15) * scale)
        light += rng.uniform(0.15, 0.45) * _filled(distance, rng.uniform(*BLURRED_PX) * scale)
    mask = np.zeros((size, size), bool)
    glow = np.zeros((size, size))
    for _ in range(rng.integers(9, 16)):
        distance = _distance(rng, size, radius=rng.uniform(7, 13) * scale)
        brightness = 0.16 * (0.75 / 0.16) ** rng.uniform()  # even on a log scale: many dim, few bright
        body = _filled(distance, rng.uniform(*SHARP_PX) * scale)
        glow = np.maximum(glow, brightness * body)
        mask |= distance < 0
    light += glow
    photons = rng.poisson(np.clip(light, 0, None) * PHOTONS) / PHOTONS
    noisy = photons + rng.normal(0, READ_NOISE, light.shape)
    return (np.clip(noisy, 0, 1) * 255).round().astype(np.uint8), mask.astype(np.uint8) * 255


def _distance(rng: np.random.Generator, size: int, *, radius: float) -> np.ndarray:
    """Signed distance in px (about) from the rim of a random ellipse; negative inside."""
    rows, columns = np.mgrid[:size, :size]
    row, column = rng.uniform(0, size, 2)
    angle, ratio = rng.uniform(0, np.pi), rng.uniform(0.65, 1)
    along = (columns - column) * np.cos(angle) + (rows - row) * np.sin(angle)
    across = (rows - row) * np.cos(angle) - (columns - column) * np.sin(angle)
    return (np.hypot(along, across / ratio) - radius) * ratio


def _filled(distance: np.ndarray, rim_px: float) -> np.ndarray:
    """1 inside, 0 outside, with a rim `rim_px` wide."""
    return 1 / (1 + np.exp(np.clip(distance / rim_px, -30, 30)))
