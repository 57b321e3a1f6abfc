"""The classic U-Net. Shapes: B batch, C channels of the picture, K classes, H and W pixels."""

from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unetlab.models.contract import SegmentationModel

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


class UNet(SegmentationModel):
    """images (B,C,H,W) in 0..1 -> logits (B,K,H,W), for any H and W.

    `depth` halvings; level i has `base_width · 2^i` channels. `skip` says how encoder features join the decoder:
    "concat" (the paper: they are copied beside the decoder's, no weights are shared), "add", or "none".
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
    ):
        if skip not in ("concat", "add", "none"):
            raise ValueError(f"skip is {skip!r}; allowed are 'concat', 'add' and 'none'")
        # an aligned tile's inner border is felt up to 6·2^depth - 2 px inside it: two 3x3 convolutions a level
        super().__init__(in_channels, num_classes, size_multiple=2**depth, halo=6 * 2**depth)
        widths = [base_width * 2**level for level in range(depth + 1)]
        self.skip = skip
        self.encoder = nn.ModuleList(
            double_conv(before, after) for before, after in zip([in_channels, *widths], widths[:-1], strict=False)
        )
        self.bottleneck = nn.Sequential(double_conv(widths[-2], widths[-1]), nn.Dropout2d(dropout))
        self.upsample = nn.ModuleList(nn.ConvTranspose2d(below, here, 2, stride=2) for here, below in pairwise(widths))
        joined = 2 if skip == "concat" else 1
        self.decoder = nn.ModuleList(double_conv(joined * width, width) for width in widths[:-1])
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
