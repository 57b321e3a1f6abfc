"""Random changes of a whole batch on its device, each picture with its own draw, mask and picture through one geometry.

Randomness enters as a generator. Why not torchvision's transforms: docs/decisions/0004-augmentation.md.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Strength:
    """Bounds of the draws: mirrored upside down too, ± degrees, scale 1 ± x, brightness and contrast ± x."""

    flips_vertically: bool = False
    rotation: float = 0.0
    scale: float = 0.0
    light: float = 0.0


STRENGTHS = {
    "flips": Strength(),
    "standard": Strength(rotation=15, scale=0.15, light=0.15),
    "strong": Strength(flips_vertically=True, rotation=180, scale=0.3, light=0.3),
}


def augment(images: Tensor, masks: Tensor, name: str, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """images (B,C,H,W) 0..1 and masks (B,H,W) int64, changed as `name` says; masks by nearest neighbour.

    What a rotation brings in from outside is the mirrored picture with its mirrored mask. `generator` lives on the CPU,
    so a seed draws the same on every device.
    """
    if name == "none":
        return images, masks
    strength, batch = STRENGTHS[name], len(images)

    def uniform(bound: float) -> Tensor:
        return (torch.rand(batch, generator=generator) * 2 - 1) * bound

    mirrors = torch.rand(2, batch, generator=generator) < 0.5
    angle, scale = uniform(strength.rotation) * math.pi / 180, 1 + uniform(strength.scale)
    brightness, contrast = uniform(strength.light), 1 + uniform(strength.light)

    images, masks = _mirror(images, masks, mirrors[0], -1)
    if strength.flips_vertically:
        images, masks = _mirror(images, masks, mirrors[1], -2)
    if strength.rotation or strength.scale:
        images, masks = _rotate_and_scale(images, masks, angle, scale)
    if strength.light:
        shape = (batch, 1, 1, 1)
        brightness, contrast = brightness.view(shape).to(images.device), contrast.view(shape).to(images.device)
        mean = images.mean((1, 2, 3), keepdim=True)
        images = ((images - mean) * contrast + mean + brightness).clamp(0, 1)
    return images, masks


def _mirror(images: Tensor, masks: Tensor, chosen: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    chosen = chosen.to(images.device)
    images = torch.where(chosen.view(-1, 1, 1, 1), images.flip(dim), images)
    return images, torch.where(chosen.view(-1, 1, 1), masks.flip(dim), masks)


def _rotate_and_scale(images: Tensor, masks: Tensor, angle: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    height, width = images.shape[-2:]
    cos, sin = torch.cos(angle) / scale, torch.sin(angle) / scale
    # affine_grid counts in half-widths and half-heights: the ratio keeps a rotation of a wide picture a rotation
    ratio, zero = height / width, torch.zeros_like(cos)
    rows = (torch.stack((cos, -sin * ratio, zero), 1), torch.stack((sin / ratio, cos, zero), 1))
    theta = torch.stack(rows, 1).to(images.device)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    images = F.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    # class ids up to 255 are exact in float32, and nearest never mixes them
    turned = F.grid_sample(masks[:, None].float(), grid, mode="nearest", padding_mode="reflection", align_corners=False)
    return images, turned[:, 0].round().long()
