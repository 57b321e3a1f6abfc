"""The programs that unetlab is measured beside, each run in a process of its own: `python peers.py PROGRAM JOB.json`.

bare            plain PyTorch as a user writes it: bf16 autocast, channels_last, data in RAM, no augmentation, AdamW
fastai          fastai's Learner.fit_one_cycle with its defaults (fp32, Adam) on the same U-Net
lightning       Lightning's Trainer(precision="bf16-mixed") with its defaults on the same U-Net
fastai_unet     fastai's unet_learner with a ResNet encoder without weights, aug_transforms, its own loss
smp_unet        segmentation_models_pytorch's Unet with such an encoder, plain fp32 loop, AdamW, OneCycleLR, flips

All but `bare` need the virtual environment of measuring.python_of_peers. All hold the pictures in RAM and load without
worker processes, except fastai_unet, which reads PNG files as fastai does. `fastai` and `lightning` get unetlab's loss.
"""

# pyright: reportMissingImports=false
# (they are installed in the peers' environment only)
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np


@dataclass
class Job:
    """What a program is to train on, and what it answers: `steps` (epoch, time) and `scores` (time, mean Dice)."""

    arrays: str  # the .npz of measuring.write_arrays
    epochs: int
    batch_size: int
    lr: float = 1e-3
    seed: int = 0
    base_width: int = 32
    depth: int = 4
    device: str = "cpu"
    crop_px: int = 0  # random squares of this size, as many as cover each picture; 0: whole pictures
    encoder: str = "resnet18"
    steps: list[tuple[int, float]] = field(default_factory=list)
    scores: list[tuple[float, float]] = field(default_factory=list)
    ended: float = 0.0

    def step(self, epoch: int) -> None:
        """Notes that a step of `epoch` has just ended."""
        self.steps.append((epoch, time.time()))


class Pictures:
    """The arrays as tensors, (N,C,H,W) and (N,H,W), and the classic U-Net for them."""

    def __init__(self, job: Job):
        import torch

        arrays = np.load(job.arrays)
        self.job = job
        self.mean, self.std = arrays["mean"].tolist(), arrays["std"].tolist()
        self.num_classes, self.background = int(arrays["num_classes"]), int(arrays["background"])
        self.train = self.tensors(arrays["train_images"], arrays["train_masks"])
        self.valid = self.tensors(arrays["valid_images"], arrays["valid_masks"])
        self.channels = self.train[0].shape[1]
        torch.manual_seed(job.seed)

    def tensors(self, images: np.ndarray, masks: np.ndarray) -> tuple[Any, Any]:
        """(N,H,W,C) and (N,H,W) as images (N,C,H,W) float32 in torch's own layout, and masks int64."""
        import torch

        return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(), torch.from_numpy(masks).long()

    def unet(self) -> Any:
        """unetlab's U-Net with fresh weights."""
        from unetlab.models.unet import UNet

        model = UNet(self.channels, self.num_classes, self.job.base_width, self.job.depth)
        model.set_normalisation(self.mean, self.std)
        return model.to(self.job.device)

    def score(self, predict: Callable[[Any], Any]) -> None:
        """Notes the mean Dice, pooled over the whole validation pictures at their own size, background left out.

        `predict`: images (1,C,H,W) on the device -> logits (1,K,H,W).
        """
        import torch

        from unetlab.inference.metrics import count_pixels, scores

        counts = np.zeros((self.num_classes, self.num_classes), np.int64)
        with torch.inference_mode():
            for image, mask in zip(*self.valid, strict=True):
                found = predict(image[None].to(self.job.device)).argmax(1)[0].cpu().numpy()
                counts += count_pixels(found, mask.numpy(), self.num_classes)
        names = [str(number) for number in range(self.num_classes)]
        background = None if self.background < 0 else self.background
        self.job.scores.append((time.time(), scores(counts, names, background).mean_dice or 0.0))


def bare(job: Job) -> None:
    import torch

    from unetlab.training.losses import make_loss

    pictures, loss_of = Pictures(job), make_loss("cross_entropy+dice")
    model = pictures.unet().to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), lr=job.lr)
    images, masks = pictures.train[0].permute(0, 2, 3, 1).contiguous(), pictures.train[1]
    model.train()
    for epoch in range(job.epochs):
        for chosen in torch.randperm(len(images)).split(job.batch_size):
            batch = images[chosen].permute(0, 3, 1, 2).to(job.device)  # channels_last: the copy is (B,H,W,C)
            with torch.autocast(torch.device(job.device).type, dtype=torch.bfloat16):
                loss = loss_of(model(batch), masks[chosen].to(job.device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            loss.item()  # a user logs the loss
            job.step(epoch)


def fastai(job: Job) -> None:
    from fastai.callback import schedule  # noqa: F401  gives Learner its fit_one_cycle
    from fastai.callback.core import Callback
    from fastai.data.core import DataLoaders
    from fastai.learner import Learner
    from torch.utils.data import TensorDataset

    from unetlab.training.losses import make_loss

    class Clock(Callback):
        def after_batch(self) -> None:
            if self.training:
                job.step(self.epoch)

    pictures = Pictures(job)
    sets = [TensorDataset(*pictures.train), TensorDataset(*(part[: job.batch_size] for part in pictures.valid))]
    loaders = DataLoaders.from_dsets(*sets, bs=job.batch_size, num_workers=0, device=job.device)
    learner = Learner(loaders, pictures.unet(), loss_func=make_loss("cross_entropy+dice"))
    learner.fit_one_cycle(job.epochs, job.lr, cbs=Clock())


def lightning(job: Job) -> None:
    import torch
    from lightning import LightningModule, Trainer
    from torch.utils.data import DataLoader, TensorDataset

    from unetlab.training.losses import make_loss

    loss_of = make_loss("cross_entropy+dice")

    class Module(LightningModule):
        def __init__(self, model: Any):
            super().__init__()
            self.model = model

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            images, masks = batch
            return loss_of(self.model(images), masks)

        def configure_optimizers(self) -> Any:
            return torch.optim.AdamW(self.parameters(), lr=job.lr)

        def on_train_batch_end(self, *unused: Any) -> None:
            job.step(self.current_epoch)

    pictures = Pictures(job)
    loader = DataLoader(TensorDataset(*pictures.train), batch_size=job.batch_size, shuffle=True)
    kind = {"cuda": "gpu"}.get(job.device, job.device)
    trainer = Trainer(max_epochs=job.epochs, precision="bf16-mixed", accelerator=kind, devices=1)
    trainer.fit(Module(pictures.unet()), loader)


def fastai_unet(job: Job) -> None:
    from fastai.callback.core import Callback
    from fastai.vision import all as vision
    from PIL import Image

    pictures, folder = Pictures(job), Path("fastai-files")
    folder.mkdir(exist_ok=True)
    for number, (image, mask) in enumerate(zip(*pictures.train, strict=True)):
        pixels = (image.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
        Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(folder / f"{number}.png")
        Image.fromarray(mask.numpy().astype(np.uint8)).save(folder / f"{number}_mask.png")
    numbers = [n for n in range(len(pictures.train[0])) for _ in range(crops_of(pictures))]

    class Clock(Callback):
        def after_batch(self) -> None:
            if self.training:
                job.step(self.epoch)

        def after_epoch(self) -> None:
            self.model.eval()
            pictures.score(lambda images: self.model(images.expand(-1, 3, -1, -1)))

    block = vision.DataBlock(
        blocks=(vision.ImageBlock, vision.MaskBlock(codes=[str(n) for n in range(pictures.num_classes)])),
        get_x=lambda number: folder / f"{number}.png",
        get_y=lambda number: folder / f"{number}_mask.png",
        splitter=vision.IndexSplitter([0]),  # fastai's own validation sees one picture; `score` sees them all
        item_tfms=vision.RandomCrop(job.crop_px) if job.crop_px else None,
        batch_tfms=vision.aug_transforms(),
    )
    loaders = block.dataloaders([0, *numbers], bs=job.batch_size, num_workers=0, device=job.device)
    encoder = getattr(vision, job.encoder)
    learner = vision.unet_learner(loaders, encoder, pretrained=False, n_out=pictures.num_classes)
    learner.fit_one_cycle(job.epochs, job.lr, cbs=Clock())


def smp_unet(job: Job) -> None:
    import segmentation_models_pytorch as smp
    import torch

    from unetlab.training.losses import make_loss

    pictures, loss_of = Pictures(job), make_loss("cross_entropy+dice")
    model = smp.Unet(job.encoder, encoder_weights=None, in_channels=pictures.channels, classes=pictures.num_classes).to(
        job.device
    )
    mean, std = (torch.tensor(values, device=job.device).view(-1, 1, 1) for values in (pictures.mean, pictures.std))
    optimizer = torch.optim.AdamW(model.parameters(), lr=job.lr)
    images, masks = pictures.train
    numbers = torch.arange(len(images)).repeat_interleave(crops_of(pictures))
    total = job.epochs * len(numbers.split(job.batch_size))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, job.lr, total_steps=total)
    for epoch in range(job.epochs):
        model.train()
        for chosen in numbers[torch.randperm(len(numbers))].split(job.batch_size):
            batch = [cropped_and_flipped(images[n], masks[n], job.crop_px) for n in chosen]
            batch_images, batch_masks = (torch.stack(parts).to(job.device) for parts in zip(*batch, strict=True))
            loss = loss_of(model((batch_images - mean) / std), batch_masks)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            loss.item()
            job.step(epoch)
        model.eval()
        pictures.score(lambda whole: model((whole - mean) / std))


def crops_of(pictures: Pictures) -> int:
    """Samples that each picture gives in an epoch: as many squares as cover it, as in unetlab's tile mode."""
    height, width = pictures.train[1].shape[1:]
    side = pictures.job.crop_px
    return -(-height * width // side**2) if side else 1


def cropped_and_flipped(image: Any, mask: Any, side: int) -> tuple[Any, Any]:
    """A random square of `side` px (0: the whole picture), mirrored half of the time."""
    import torch

    if side:
        top, left = (int(torch.randint(length - side + 1, ())) for length in mask.shape)
        image, mask = image[:, top : top + side, left : left + side], mask[top : top + side, left : left + side]
    return (image.flip(-1), mask.flip(-1)) if torch.rand(()) < 0.5 else (image, mask)


PROGRAMS = {program.__name__: program for program in (bare, fastai, lightning, fastai_unet, smp_unet)}


if __name__ == "__main__":
    name, asked = sys.argv[1], Path(sys.argv[2])
    given = Job(**json.loads(asked.read_text()))
    PROGRAMS[name](given)
    given.ended = time.time()
    asked.write_text(json.dumps(asdict(given)))
