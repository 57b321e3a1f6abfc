"""Pictures on their way to the network: scaled, shuffled, cropped, padded, augmented.

Minibatch `s` of epoch `e` is a function of (seed, e, s) alone: its pictures, crops and augmentations do not depend on
what ran before, so a training can go on from any step.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from unetlab.data import geometry
from unetlab.data.dataset import IGNORE, DataSet
from unetlab.errors import TrainingError
from unetlab.options import DataOptions
from unetlab.training.augment import augment

KEPT_BYTES = 2**30  # scaled pictures kept in memory up to here, the others are scaled again each epoch


class Pictures:
    """Pictures and masks of a data set at the size the network sees, as numpy float32 (h,w,C) and uint8 (h,w)."""

    def __init__(self, data: DataSet, options: DataOptions):
        self.data, self.options = data, options
        self._kept: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        self._kept_bytes = 0

    def size(self, index: int) -> tuple[int, int]:
        """(h, w) of picture `index` after scaling; crop and tile mode keep the original size."""
        pair = self.data.manifest.pairs[index]
        if self.options.size_mode == "resize":
            return geometry.fit_size(pair.height, pair.width, self.options.image_size)
        return pair.height, pair.width

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        if index in self._kept:
            return self._kept[index]
        scaled = geometry.resize(self.data.image(index), self.data.mask(index), self.size(index))
        size = scaled[0].nbytes + scaled[1].nbytes
        if self._kept_bytes + size <= KEPT_BYTES:
            self._kept[index] = scaled
            self._kept_bytes += size
        return scaled


class TrainingBatches:
    """The training split as augmented minibatches: images (B,C,H,W) float32 0..1, masks (B,H,W) int64, on `device`."""

    def __init__(self, pictures: Pictures, *, batch_size: int, augment: str, seed: int, device: torch.device):
        self.pictures, self.batch_size, self.augment = pictures, batch_size, augment
        self.seed, self.device = seed, device
        self.indices = pictures.data.indices("train")
        if not self.indices:
            raise TrainingError("The training split is empty. Split the data set again on the Data page.")
        options = pictures.options
        original = [(pair.height, pair.width) for pair in (pictures.data.manifest.pairs[i] for i in self.indices)]
        sizing = {"image_size": options.image_size, "size_mode": options.size_mode}
        self.samples = [self.indices[i] for i in geometry.samples_per_epoch(original, **sizing)]
        self.steps_per_epoch = geometry.steps_per_epoch(original, **sizing, batch_size=batch_size)
        sizes = [pictures.size(i) for i in self.indices]
        self.canvas = (max(h for h, _ in sizes), max(w for _, w in sizes))
        if options.size_mode != "resize":
            self.canvas = (options.image_size, options.image_size)

    def num_images(self, steps: int) -> int:
        """Pictures (crops, in tile mode) that the first `steps` steps of a training see; last batches are smaller."""
        per_epoch = min(len(self.samples), self.steps_per_epoch * self.batch_size)
        epochs, rest = divmod(steps, self.steps_per_epoch)
        return epochs * per_epoch + min(rest * self.batch_size, per_epoch)

    def epoch(self, number: int, *, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """The `steps_per_epoch` minibatches of epoch `number`, from its step `start` on."""
        order = np.random.default_rng([self.seed, number]).permutation(self.samples)
        for step in range(start, self.steps_per_epoch):
            chosen = order[step * self.batch_size : (step + 1) * self.batch_size]
            yield self.batch([int(index) for index in chosen], *batch_randomness(self.seed, number, step))

    def batch(
        self, indices: Sequence[int], rng: np.random.Generator, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """One minibatch of pictures `indices`: placed on the canvas by `rng`, augmented by `generator`."""
        placed = [place(*self.pictures[index], self.canvas, rng) for index in indices]
        images, masks = to_tensors(placed, self.device)
        return augment(images, masks, self.augment, generator)


def batch_randomness(seed: int, epoch: int, step: int) -> tuple[np.random.Generator, torch.Generator]:
    """What decides over one minibatch, `step` counted in its epoch: crops by the first, augmentations by the other."""
    rng = np.random.default_rng([seed, epoch, step])
    return rng, torch.Generator().manual_seed(int(rng.integers(2**62)))


def place(
    image: np.ndarray, mask: np.ndarray, canvas: tuple[int, int], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """A random window of the canvas' size; what is missing is the mirrored picture, ignored by loss and scores."""
    (height, width), (canvas_height, canvas_width) = mask.shape, canvas
    if (height, width) == canvas:
        return image, mask
    top = int(rng.integers(max(height - canvas_height, 0) + 1))
    left = int(rng.integers(max(width - canvas_width, 0) + 1))
    window = np.s_[top : top + canvas_height, left : left + canvas_width]
    image, mask = image[window], mask[window]
    below, right = canvas_height - mask.shape[0], canvas_width - mask.shape[1]
    if below or right:
        image = np.pad(image, ((0, below), (0, right), (0, 0)), mode="symmetric")
        mask = np.pad(mask, ((0, below), (0, right)), constant_values=IGNORE)
    return image, mask


def to_tensors(pairs: list[tuple[np.ndarray, np.ndarray]], device: torch.device) -> tuple[Tensor, Tensor]:
    """Pictures (h,w,C) and masks (h,w) of one size as images (B,C,h,w), channels_last, and masks int64."""
    images = torch.from_numpy(np.stack([image for image, _ in pairs])).permute(0, 3, 1, 2)
    masks = torch.from_numpy(np.stack([mask for _, mask in pairs])).long()
    return images.to(device, memory_format=torch.channels_last), masks.to(device)
