"""The classic U-Net. Shapes: B batch, C channels of the picture, K classes, H and W pixels."""

from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Skip = Literal["concat", "add", "none"]


def double_conv(in_channels: int, out_channels: int) -> nn.Sequential:
    """Twice: 3x3 convolution, BatchNorm, ReLU. Keeps H and W (padding 1; the paper had none and cropped)."""
    layers: list[nn.Module] = []
    for channels in (in_channels, out_channels):
        layers += [
            nn.Conv2d(channels, out_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)


class UNet(nn.Module):
    """images (B,C,H,W) in 0..1 -> logits (B,K,H,W), for any H and W.

    `depth` halvings; level i has `base_width · 2^i` channels. `skip` says how encoder features join the decoder:
    "concat" (the paper: they are copied beside the decoder's, no weights are shared), "add", or "none".
    The pictures' normalisation (`mean`, `std` per channel) lives in here and is saved with the weights.
    Source: Ronneberger et al. 2015; BatchNorm as in most later code.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        base_width: int = 32,
        depth: int = 4,
        skip: Skip = "concat",
        dropout: float = 0.0,
    ):
        super().__init__()
        if skip not in ("concat", "add", "none"):
            raise ValueError(f"skip is {skip!r}; allowed are 'concat', 'add' and 'none'")
        widths = [base_width * 2**level for level in range(depth + 1)]
        self.depth, self.skip = depth, skip
        self.register_buffer("mean", torch.zeros(1, in_channels, 1, 1))
        self.register_buffer("std", torch.ones(1, in_channels, 1, 1))
        self.encoder = nn.ModuleList(
            double_conv(before, after) for before, after in zip([in_channels, *widths], widths[:-1], strict=False)
        )
        self.bottleneck = nn.Sequential(double_conv(widths[-2], widths[-1]), nn.Dropout2d(dropout))
        self.upsample = nn.ModuleList(nn.ConvTranspose2d(below, here, 2, stride=2) for here, below in pairwise(widths))
        joined = 2 if skip == "concat" else 1
        self.decoder = nn.ModuleList(double_conv(joined * width, width) for width in widths[:-1])
        self.head = nn.Conv2d(base_width, num_classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        x = pad_to_multiple((images - self.mean) / self.std, 2**self.depth)
        skips = []
        for block in self.encoder:
            x = block(x)
            skips.append(x)
            x = F.max_pool2d(x, 2)
        x = self.bottleneck(x)
        for level in reversed(range(self.depth)):
            x = self.upsample[level](x)
            if self.skip == "concat":
                x = torch.cat([skips[level], x], dim=1)
            elif self.skip == "add":
                x = skips[level] + x
            x = self.decoder[level](x)
        return self.head(x)[..., :height, :width]

    def set_normalisation(self, mean: list[float], std: list[float]) -> None:
        """Mean and standard deviation per channel of the training pictures in 0..1; std above 0."""
        self.mean.copy_(torch.tensor(mean).view(1, -1, 1, 1))
        self.std.copy_(torch.tensor(std).view(1, -1, 1, 1))


def pad_to_multiple(images: Tensor, multiple: int) -> Tensor:
    """(B,C,H,W) with the last row and column repeated until H and W are multiples of `multiple`."""
    height, width = images.shape[-2:]
    bottom, right = -height % multiple, -width % multiple
    # replicate, not reflect: reflect needs a picture larger than its padding
    return F.pad(images, (0, right, 0, bottom), mode="replicate") if bottom or right else images
