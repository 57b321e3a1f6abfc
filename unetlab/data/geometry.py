"""Sizes, resizing and the number of steps: the arithmetic that training, previews and forecasts share.

Shape letters: H height, W width, C channels.
"""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from PIL import Image

SizeMode = Literal["resize", "crop", "tile"]


def fit_size(height: int, width: int, image_size: int) -> tuple[int, int]:
    """(height, width) with the long side at most `image_size` px and the aspect kept; never enlarged."""
    scale = min(1.0, image_size / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def resize(image: np.ndarray, mask: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Image and mask at `size` (height, width): the image antialiased, the mask by nearest neighbour.

    image: float32 (H,W,C). mask: uint8 (H,W); no class id appears that was not there before.
    """
    return resize_image(image, size), resize_mask(mask, size)


def resize_image(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A float32 image (H,W,C) at `size` (height, width), bilinear, averaging over the area when it shrinks."""
    if image.shape[:2] == tuple(size):
        return image
    channels = [
        np.asarray(
            Image.fromarray(np.ascontiguousarray(image[:, :, channel], np.float32)).resize(
                (size[1], size[0]), Image.Resampling.BILINEAR
            )
        )
        for channel in range(image.shape[2])
    ]
    return np.stack(channels, axis=2)


def resize_mask(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Class ids uint8 (H,W) at `size` (height, width), by nearest neighbour."""
    if mask.shape == tuple(size):
        return mask
    picture = Image.fromarray(np.ascontiguousarray(mask)).resize((size[1], size[0]), Image.Resampling.NEAREST)
    return np.array(picture)


def samples_per_epoch(sizes: Sequence[tuple[int, int]], *, image_size: int, size_mode: SizeMode) -> list[int]:
    """Index of the picture behind each training sample of one epoch, in order.

    sizes: (height, width) of the training images. Each image comes once; in `tile` mode as many times as
    tiles of `image_size`² px cover its area.
    """
    if size_mode != "tile":
        return list(range(len(sizes)))
    return [
        index
        for index, (height, width) in enumerate(sizes)
        for _ in range(max(1, math.ceil(height * width / image_size**2)))
    ]


def steps_per_epoch(sizes: Sequence[tuple[int, int]], *, image_size: int, size_mode: SizeMode, batch_size: int) -> int:
    """Optimizer steps in one epoch over training images of `sizes` (height, width).

    The last batch is dropped only when it holds a single image beside larger ones: BatchNorm needs two.
    """
    num_samples = len(samples_per_epoch(sizes, image_size=image_size, size_mode=size_mode))
    steps, rest = divmod(num_samples, batch_size)
    return steps + (rest > 1 or (rest == 1 and steps == 0))
