"""Does what torch sets up at a first call before anyone waits for it."""

import functools

import psutil
import torch

from unetlab.config import RunConfig
from unetlab.models.registry import build_model
from unetlab.training import precision
from unetlab.training.augment import STRENGTHS, augment
from unetlab.training.learner import Learner
from unetlab.training.losses import make_loss

SHAPE = (8, 1, 128, 128)  # a batch of the sample: kernels are made for one shape


@functools.cache
def size_with_torch() -> int:
    """Bytes of RAM of this process when this was called first: by the worker, as soon as torch is loaded.

    Later its size tells what other jobs have left in it, which no training begins with.
    """
    return psutil.Process().memory_info().rss


def warm_up() -> None:
    """One training step with the default options, and each augmentation, on made-up pictures on the CPU.

    Leaves torch's random state as it was; uses no memory of other devices.
    """
    config, device = RunConfig(kind="train", dataset=""), torch.device("cpu")
    with torch.random.fork_rng(devices=[]):
        learner = Learner(
            build_model(config.model, channels=SHAPE[1], num_classes=2),
            make_loss(config.train.loss, None),
            device=device,
            precision_name=precision.resolve(config.train.precision, device),
        )
        images, masks = torch.rand(SHAPE), torch.zeros(SHAPE[0], *SHAPE[2:], dtype=torch.int64)
        for strength in STRENGTHS:
            augment(images, masks, strength, torch.Generator().manual_seed(0))
        learner.train_step(images.contiguous(memory_format=torch.channels_last), masks, 1e-3, 0.9)
