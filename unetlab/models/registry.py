"""The networks there are: each is built from its card, by the name under `model.name`."""

from collections.abc import Callable

from unetlab.models.contract import SegmentationModel
from unetlab.models.unet import UNet
from unetlab.options import ModelOptions

Build = Callable[[ModelOptions, int, int], SegmentationModel]  # (options, channels, num_classes)


def build_model(options: ModelOptions, *, channels: int, num_classes: int) -> SegmentationModel:
    """A network with fresh random weights, drawn from torch's global generator; nothing is ever downloaded.

    Under `torch.device("meta")` it has shapes and no contents, which takes no memory.
    """
    return MODELS[options.name](options, channels, num_classes)


def _unet(options: ModelOptions, channels: int, num_classes: int) -> UNet:
    return UNet(
        channels, num_classes, options.base_width, options.depth, options.skip, options.dropout, norm=options.norm
    )


MODELS: dict[str, Build] = {"unet": _unet}
