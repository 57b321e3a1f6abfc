"""What every network promises: training, scoring, forecasting and export rely on nothing else.

Shapes: B batch, C channels of the picture, K classes, H and W pixels.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

NORM_LAYERS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm)
FrozenNorm = Literal["hold", "train"]


@dataclass(frozen=True)
class Group:
    """Parameters that share a learning rate."""

    name: str
    parameters: list[nn.Parameter]


class SegmentationModel(nn.Module, ABC):
    """images (B,C,H,W) in 0..1 -> logits (B,K,H,W), for any H and W.

    `size_multiple`: the H and W that `core` sees are multiples of it. `halo`: the pixels of context that a tile needs
    on each inner side to give the whole picture's prediction, if tiles start and end at multiples of `size_multiple`;
    None if no tile can be exact. The pictures' normalisation (`mean`, `std` per channel) is part of the network and is
    saved with the weights.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, in_channels: int, num_classes: int, *, size_multiple: int, halo: int | None):
        super().__init__()
        self.in_channels, self.num_classes = in_channels, num_classes
        self.size_multiple, self.halo = size_multiple, halo
        self._is_norm_held = False
        self.register_buffer("mean", torch.zeros(1, in_channels, 1, 1))
        self.register_buffer("std", torch.ones(1, in_channels, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        x = pad_to_multiple((images - self.mean) / self.std, self.size_multiple)
        return self.core(x)[..., :height, :width]

    def core(self, x: Tensor) -> Tensor:
        """Normalised x (B,C,H,W), H and W multiples of `size_multiple` -> logits (B,K,H,W); what an export takes."""
        return self.decode(self.encode(x))

    @abstractmethod
    def encode(self, images: Tensor) -> list[Tensor]:
        """Feature maps of every level, the finest first; no branch on a size."""

    @abstractmethod
    def decode(self, levels: list[Tensor]) -> Tensor:
        """Logits from the levels of `encode`; an entry may be replaced by another tensor of its shape."""

    @abstractmethod
    def encoder_modules(self) -> list[nn.Module]:
        """The modules that `encode` is made of, input to output."""

    def parameter_groups(self) -> list[Group]:
        """All parameters, each in one group, from input to output; the same groups whatever is frozen.

        Encoder and decoder by default, as in fastai; a network may have more groups.
        """
        encoder = [parameter for module in self.encoder_modules() for parameter in module.parameters()]
        known = set(map(id, encoder))
        return [
            Group("encoder", encoder),
            Group("decoder", [parameter for parameter in self.parameters() if id(parameter) not in known]),
        ]

    def freeze_encoder(self, *, norm: FrozenNorm) -> None:
        """Keeps the encoder as it is while the rest is trained; call it before DDP and before a Learner is made.

        `norm` "hold": nothing in it changes, and its norm layers stay in evaluation mode through `train()`. "train":
        its norm layers are trained and their running statistics move, as in fastai; the rest of it is fixed.
        """
        if norm not in ("hold", "train"):
            raise ValueError(f"norm is {norm!r}; allowed are 'hold' and 'train'")
        for module in self.encoder_modules():
            module.requires_grad_(False)
        for layer in self._encoder_norm_layers():
            layer.requires_grad_(norm == "train")
        self._is_norm_held = norm == "hold"
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        if self._is_norm_held:
            for layer in self._encoder_norm_layers():  # looked up anew: a conversion to SyncBatchNorm replaces them
                layer.eval()
        return self

    def set_normalisation(self, mean: list[float], std: list[float]) -> None:
        """Mean and standard deviation per channel of the training pictures in 0..1; std above 0."""
        self.mean.copy_(torch.tensor(mean).view(1, -1, 1, 1))
        self.std.copy_(torch.tensor(std).view(1, -1, 1, 1))

    def _encoder_norm_layers(self) -> Iterator[nn.Module]:
        for module in self.encoder_modules():
            yield from (layer for layer in module.modules() if isinstance(layer, NORM_LAYERS))


def pad_to_multiple(images: Tensor, multiple: int) -> Tensor:
    """(B,C,H,W) with the last row and column repeated until H and W are multiples of `multiple`."""
    height, width = images.shape[-2:]
    bottom, right = -height % multiple, -width % multiple
    # replicate, not reflect: reflect needs a picture larger than its padding
    return F.pad(images, (0, right, 0, bottom), mode="replicate") if bottom or right else images
