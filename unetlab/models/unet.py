"""The classic U-Net. Shapes: B batch, C channels of the picture, K classes, H and W pixels."""

from functools import partial
from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unetlab.models.contract import SegmentationModel

Skip = Literal["concat", "add", "none"]
Norm = Literal["batch", "group"]
NUM_GROUPS = (
    8,
    4,
    2,
    1,
)  # ours: 2 channels a group at base width 16; Wu and He 2018 have 32 groups from 64 channels on


def normalisation(norm: Norm, channels: int) -> nn.Module:
    """The layer after a convolution; GroupNorm's groups are equal and of two channels at least."""
    if norm == "batch":
        return nn.BatchNorm2d(channels)
    return nn.GroupNorm(next(n for n in NUM_GROUPS if channels % n == 0 and channels // n > 1), channels)


def double_conv(in_channels: int, out_channels: int, norm: Norm = "batch") -> nn.Sequential:
    """Twice: 3x3 convolution, normalisation, ReLU. Keeps H and W (padding 1; the paper had none and cropped)."""
    layers: list[nn.Module] = []
    for channels in (in_channels, out_channels):
        layers += [
            nn.Conv2d(channels, out_channels, 3, padding=1, bias=False),
            normalisation(norm, out_channels),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)


class UNet(SegmentationModel):
    """images (B,C,H,W) in 0..1 -> logits (B,K,H,W), for any H and W.

    `depth` halvings; level i has `base_width · 2^i` channels. `skip` says how encoder features join the decoder:
    "concat" (the paper: they are copied beside the decoder's, no weights are shared), "add", or "none".
    `norm`: "batch" or "group"; with GroupNorm a picture's prediction depends on all of it, so no tile is exact.
    Source: Ronneberger et al. 2015; BatchNorm as in most later code.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        base_width: int = 32,
        depth: int = 4,
        skip: Skip = "concat",
        dropout: float = 0.0,
        norm: Norm = "batch",
    ):
        if skip not in ("concat", "add", "none"):
            raise ValueError(f"skip is {skip!r}; allowed are 'concat', 'add' and 'none'")
        if norm not in ("batch", "group"):
            raise ValueError(f"norm is {norm!r}; allowed are 'batch' and 'group'")
        # an aligned tile's inner border is felt up to 6·2^depth - 2 px inside it: two 3x3 convolutions a level
        halo = 6 * 2**depth if norm == "batch" else None
        super().__init__(in_channels, num_classes, size_multiple=2**depth, halo=halo)
        convolved = partial(double_conv, norm=norm)
        widths = [base_width * 2**level for level in range(depth + 1)]
        self.skip = skip
        self.encoder = nn.ModuleList(
            convolved(before, after) for before, after in zip([in_channels, *widths], widths[:-1], strict=False)
        )
        self.bottleneck = nn.Sequential(convolved(widths[-2], widths[-1]), nn.Dropout2d(dropout))
        self.upsample = nn.ModuleList(nn.ConvTranspose2d(below, here, 2, stride=2) for here, below in pairwise(widths))
        joined = 2 if skip == "concat" else 1
        self.decoder = nn.ModuleList(convolved(joined * width, width) for width in widths[:-1])
        self.head = nn.Conv2d(base_width, num_classes, 1)

    def encode(self, images: Tensor) -> list[Tensor]:
        levels, x = [], images
        for block in self.encoder:
            x = block(x)
            levels.append(x)
            x = F.max_pool2d(x, 2)
        return [*levels, self.bottleneck(x)]

    def decode(self, levels: list[Tensor]) -> Tensor:
        x = levels[-1]
        for level in reversed(range(len(self.decoder))):
            x = self.upsample[level](x)
            if self.skip == "concat":
                x = torch.cat([levels[level], x], dim=1)
            elif self.skip == "add":
                x = levels[level] + x
            x = self.decoder[level](x)
        return self.head(x)

    def encoder_modules(self) -> list[nn.Module]:
        return [self.encoder, self.bottleneck]
