"""Networks that fulfil the contract in a few lines, for tests of what may know no more than the contract."""

import torch
from torch import Tensor, nn

from unetlab.models.contract import Group, SegmentationModel


class Toy(SegmentationModel):
    """Three groups: a stem and a deeper level of convolution, BatchNorm and ReLU, and a head that doubles the size."""

    def __init__(self, in_channels: int = 1, num_classes: int = 2, width: int = 4) -> None:
        super().__init__(in_channels, num_classes, size_multiple=2, halo=4)
        self.stem = nn.Sequential(nn.Conv2d(in_channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU())
        self.deep = nn.Sequential(nn.Conv2d(width, width, 2, stride=2), nn.BatchNorm2d(width), nn.ReLU())
        self.head = nn.ConvTranspose2d(width, num_classes, 2, stride=2)

    def encode(self, images: Tensor) -> list[Tensor]:
        stem = self.stem(images)
        return [stem, self.deep(stem)]

    def decode(self, levels: list[Tensor]) -> Tensor:
        return self.head(levels[-1])

    def encoder_modules(self) -> list[nn.Module]:
        return [self.stem, self.deep]

    def parameter_groups(self) -> list[Group]:
        return [Group(name, list(getattr(self, name).parameters())) for name in ("stem", "deep", "head")]


class Plain(SegmentationModel):
    """Two convolutions without BatchNorm: what one picture gives does not depend on its neighbours."""

    def __init__(self, *, seed: int = 0) -> None:
        super().__init__(1, 2, size_multiple=1, halo=2)
        torch.manual_seed(seed)
        self.layers = nn.Sequential(nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 2, 3, padding=1))

    def encode(self, images: Tensor) -> list[Tensor]:
        return [self.layers[:2](images)]

    def decode(self, levels: list[Tensor]) -> Tensor:
        return self.layers[2](levels[-1])

    def encoder_modules(self) -> list[nn.Module]:
        return [self.layers[:2]]
