"""Pictures for training: shuffled, cropped, padded, augmented.

Minibatch `s` of epoch `e` is a function of (seed, e, s) alone: its pictures, crops and augmentations do not depend on
what ran before, so training can resume at any step.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from unetlab.data import geometry
from unetlab.data.dataset import IGNORE
from unetlab.errors import TrainingError
from unetlab.inference.pictures import Pictures, to_tensors
from unetlab.training.augment import augment
from unetlab.training.random_streams import Purpose, stream

OTHER_PLACES = 8  # ours: draws of a crop without a pixel that counts, before one is looked for


class TrainingBatches:
    """The training split as augmented minibatches: images (B,C,H,W) float32 0..1, masks (B,H,W) int64, on `device`."""

    def __init__(self, pictures: Pictures, *, batch_size: int, augment: str, seed: int, device: torch.device):
        self.pictures, self.batch_size, self.augment = pictures, batch_size, augment
        self.seed, self.device = seed, device
        self.indices = pictures.data.indices("train")
        if not self.indices:
            raise TrainingError("The training split is empty. Split the data set again on the Data page.")
        if not pictures.data.class_pixels("train").any():
            raise TrainingError(
                "No pixel of the training masks counts: all are left out. See on the Data page how the mask values are "
                "read, and which of them are left out."
            )
        options = pictures.options
        original = [(pair.height, pair.width) for pair in (pictures.data.manifest.pairs[i] for i in self.indices)]
        sizing = {"image_size": options.image_size, "size_mode": options.size_mode}
        self.samples = [self.indices[i] for i in geometry.samples_per_epoch(original, **sizing)]
        self.steps_per_epoch = geometry.steps_per_epoch(original, **sizing, batch_size=batch_size)
        self.leaves_out_single = False  # the last picture of a step with an odd number of them
        sizes = [pictures.size(i) for i in self.indices]
        self.canvas = (max(h for h, _ in sizes), max(w for _, w in sizes))
        if options.size_mode != "resize":
            self.canvas = (options.image_size, options.image_size)

    @property
    def step_sizes(self) -> set[int]:
        """How many pictures a step can have: the full minibatches' number and that of an epoch's last one."""
        left = (len(self.samples) - step * self.batch_size for step in (0, self.steps_per_epoch - 1))
        sizes = {min(self.batch_size, count) for count in left}
        return {size // 2 * 2 for size in sizes} if self.leaves_out_single else sizes

    def num_images(self, steps: int) -> int:
        """Pictures (crops, in tile mode) that the first `steps` training steps see; last batches are smaller."""
        per_epoch = min(len(self.samples), self.steps_per_epoch * self.batch_size)
        epochs, rest = divmod(steps, self.steps_per_epoch)
        return epochs * per_epoch + min(rest * self.batch_size, per_epoch)

    def epoch(self, number: int, *, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """The `steps_per_epoch` minibatches of epoch `number`, from its step `start` on."""
        steps = range(start, self.steps_per_epoch)
        return self._drawn(number, steps, self.batch_size, Purpose.SHUFFLING, Purpose.MINIBATCH)

    def for_statistics(self, epoch: int, count: int, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """`count` minibatches of `size` pictures like those of `epoch`, drawn apart from them, for BatchNorm.

        Fewer where the set has fewer pictures; then the only one may be smaller.
        """
        count = min(count, max(len(self.samples) // size, 1))
        return self._drawn(epoch, range(count), size, Purpose.STATISTICS_SHUFFLING, Purpose.STATISTICS)

    def _drawn(
        self, epoch: int, steps: range, size: int, shuffling: Purpose, minibatch: Purpose
    ) -> Iterator[tuple[Tensor, Tensor]]:
        order = stream(self.seed, shuffling, epoch).permutation(self.samples)
        for step in steps:
            chosen = order[step * size : (step + 1) * size]
            if self.leaves_out_single:
                chosen = chosen[: len(chosen) // 2 * 2]
            randomness = batch_randomness(self.seed, epoch, step, minibatch)
            yield self.batch([int(index) for index in chosen], *randomness)

    def batch(
        self, indices: Sequence[int], rng: np.random.Generator, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """One minibatch of pictures `indices`: placed on the canvas by `rng`, augmented by `generator`."""
        placed = [place(*self.pictures[index], self.canvas, rng) for index in indices]
        images, masks = to_tensors(placed, self.device)
        return augment(images, masks, self.augment, generator)


def batch_randomness(
    seed: int, epoch: int, step: int, purpose: Purpose = Purpose.MINIBATCH
) -> tuple[np.random.Generator, torch.Generator]:
    """The randomness of one minibatch, `step` counted in its epoch: the first for crops, the other for augmentation."""
    rng = stream(seed, purpose, epoch, step)
    return rng, torch.Generator().manual_seed(int(rng.integers(2**62)))


def place(
    image: np.ndarray, mask: np.ndarray, canvas: tuple[int, int], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """A random window of the canvas' size; missing parts show the mirrored picture, ignored by loss and scores."""
    if mask.shape == canvas:
        return image, mask
    window = _window(mask, canvas, rng)
    image, mask = image[window], mask[window]
    below, right = canvas[0] - mask.shape[0], canvas[1] - mask.shape[1]
    if below or right:
        image = np.pad(image, ((0, below), (0, right), (0, 0)), mode="symmetric")
        mask = np.pad(mask, ((0, below), (0, right)), constant_values=IGNORE)
    return image, mask


def _window(mask: np.ndarray, canvas: tuple[int, int], rng: np.random.Generator) -> tuple[slice, slice]:
    """A random window with a pixel that counts: the first of a few places, else the one nearest to the first place."""
    lowest = [max(side - length, 0) for side, length in zip(mask.shape, canvas, strict=True)]  # the last place
    places = []
    while len(places) <= OTHER_PLACES:
        top, left = (int(rng.integers(last + 1)) for last in lowest)
        window = np.s_[top : top + canvas[0], left : left + canvas[1]]
        if (mask[window] != IGNORE).any():
            return window
        places.append((top, left))
    counting = np.argwhere(mask != IGNORE)
    if not len(counting):
        return window
    middle = np.array(places[0]) + np.array(canvas) // 2
    nearest = counting[np.abs(counting - middle).max(axis=1).argmin()]
    top, left = np.clip(nearest - np.array(canvas) // 2, 0, lowest)
    return np.s_[top : top + canvas[0], left : left + canvas[1]]
