"""Pictures and masks as a network takes them in: scaled once, kept while there is room, stacked into tensors."""

import numpy as np
import torch
from torch import Tensor

from unetlab.data import geometry
from unetlab.data.dataset import DataSet
from unetlab.options import DataOptions

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


def to_tensors(pairs: list[tuple[np.ndarray, np.ndarray]], device: torch.device) -> tuple[Tensor, Tensor]:
    """Pictures (h,w,C) and masks (h,w) of one size as images (B,C,h,w), channels_last, and masks int64."""
    images = torch.from_numpy(np.stack([image for image, _ in pairs])).permute(0, 3, 1, 2)
    masks = torch.from_numpy(np.stack([mask for _, mask in pairs])).long()
    return images.to(device, memory_format=torch.channels_last), masks.to(device)
