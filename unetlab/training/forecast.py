"""The peak device memory of a training run, before it starts and without using any: the job `forecast`.

The real training step runs on tensors that have shapes but no contents (memory_tape.py), and their bytes are counted.
"""

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psutil
import torch
from torch import Tensor, nn

from unetlab import files
from unetlab.config import RunConfig
from unetlab.data.dataset import open_dataset
from unetlab.errors import ConfigError
from unetlab.events import Event, Progress
from unetlab.inference.pictures import KEPT_BYTES, Pictures
from unetlab.inference.prediction import class_map, predict_logits
from unetlab.models.contract import SegmentationModel
from unetlab.models.registry import build_model
from unetlab.runs import devices, freeing
from unetlab.runs.store import Run
from unetlab.training.augment import augment
from unetlab.training.batches import TrainingBatches
from unetlab.training.learner import Learner
from unetlab.training.losses import make_loss
from unetlab.training.setup import refuse_single_value
from unetlab.training.warming import size_with_torch
from unetlab.workspace import Workspace

if TYPE_CHECKING:
    from unetlab.training.memory_tape import Tape

MARGIN = 0.15  # the error that tests/training/test_forecast.py allows; kernels' workspaces, fragmentation
CUDA_CONTEXT_BYTES = 666_632_192  # with every kernel loaded; 287 MB as they are loaded now. Source: pytorch PR 86509
# how much a process grows in its first step besides tensors and MARGIN: 140 to 270 MB in five U-Nets on 2 cores
CPU_KERNEL_BYTES = 300_000_000
LARGEST_BATCH = 1024  # the bound of options.TrainOptions.batch_size
LINES = 12  # guesses of the largest batch along a straight line, before halving


@dataclass(frozen=True)
class Shapes:
    """What the memory of a training run depends on besides its options.

    `canvas`: (H, W) of training pictures. `validation`: (count, H, W) of the validation pictures of one size that
    have most pixels together. `num_samples`: training samples per epoch. `kept_bytes`: scaled pictures kept in RAM.
    `original`: (H, W) of the largest validation mask as it is kept, to which the logits are scaled.
    """

    canvas: tuple[int, int]
    validation: tuple[int, int, int]
    num_samples: int
    channels: int
    num_classes: int
    kept_bytes: int = 0
    original: tuple[int, int] = (0, 0)


def forecast(
    run: Run, config: RunConfig, device: str, *, on_event: Callable[[Event], None], should_stop: Callable[[], bool]
) -> bool:
    """Writes result.json, all in bytes; never stopped, as it takes a second or two.

    bytes: peak of the tensors on the device, `by` kind. outside: what the process takes besides. margin: share of
    `bytes` added for what an allocator wastes and kernels borrow. needs: all of it together. free, total: of the
    device; what workers of this workspace hold counts as free, since they end or make room first. largest_batch: the
    largest batch size that fits, 0 if none does. Raises ConfigError for a config that cannot train, TrainingError if
    torch has changed too much.
    """
    resident = size_with_torch()  # a training process is this large before its first tensor
    batches = batches_of(run.workspace, config)
    shapes, device = shapes_of(batches), devices.resolve(config.train.device)
    model = empty_model(config, shapes)
    refuse_single_value(batches, model, config.train.batch_size)
    memory = memory_of(run.workspace, device)
    free = memory.total - memory.used + (memory.ours or 0)
    found: dict[int, dict[str, Any]] = {}

    def needs(batch_size: int) -> int:
        on_event(Progress("forecasting", len(found), 0))
        if batch_size not in found:
            peak = peak_of(config.changed({"train.batch_size": batch_size}), shapes)
            found[batch_size] = needs_of(peak, shapes, device, resident)
        return found[batch_size]["needs"]

    needs(config.train.batch_size)
    largest = largest_batch(needs, free, start=config.train.batch_size, smallest=smallest_batch(batches, model))
    about = {"batch_size": config.train.batch_size, "largest_batch": largest}
    place = {"device": device, "label": devices.label(device), "free": free, "total": memory.total}
    files.write_json(run.folder / "result.json", {**found[config.train.batch_size], **about, **place})
    return False


def batches_of(workspace: Workspace, config: RunConfig) -> TrainingBatches:
    """The batches of the training run; no picture is read."""
    options = config.train
    return TrainingBatches(
        Pictures(open_dataset(workspace, config.dataset), config.data),
        batch_size=options.pictures_per_step,
        augment=options.augment,
        seed=options.seed,
        device=torch.device("cpu"),
    )


def shapes_of(batches: TrainingBatches) -> Shapes:
    """The shapes that training on these batches works with."""
    pictures, data = batches.pictures, batches.pictures.data
    groups = Counter(pictures.size(index) for index in data.indices("valid"))
    validation = max(((count, *size) for size, count in groups.items()), key=math.prod, default=(0, 0, 0))
    shown = [pictures.size(index) for index in [*batches.indices, *data.indices("valid")]]
    kept = sum(height * width for height, width in shown) * (4 * data.channels + 1)  # float32 pictures, uint8 masks
    pairs = [data.manifest.pairs[index] for index in data.indices("valid")]
    return Shapes(
        batches.canvas,
        validation,
        len(batches.samples),
        data.channels,
        data.num_classes,
        min(kept, KEPT_BYTES),
        max(((pair.height, pair.width) for pair in pairs), key=math.prod, default=(0, 0)),
    )


def memory_of(workspace: Workspace, device: str) -> devices.Memory:
    """Memory of the device that trains; RAM for a CPU and for Apple's GPU, which works in it."""
    pids = list(freeing.worker_pids(workspace))
    for memory in devices.read_memory(pids):
        if memory.device == device or (memory.device == "cpu" and not device.startswith("cuda")):
            return memory
    ram = psutil.virtual_memory()
    return devices.Memory("cpu", "RAM", ram.total, ram.total - ram.available, sum(map(devices.resident_bytes, pids)))


def needs_of(peak: Counter[str], shapes: Shapes, device: str, resident: int) -> dict[str, Any]:
    """bytes, by, margin, outside and needs, as `forecast` writes them; `resident`: the process without tensors."""
    if device.startswith("cuda"):
        outside = CUDA_CONTEXT_BYTES
    else:  # checkpoint.snapshot copies all that a step changes
        outside = resident + CPU_KERNEL_BYTES + shapes.kept_bytes + peak["weights"] + peak["optimizer"]
    needs = round(peak.total() * (1 + MARGIN)) + outside
    by = {kind: peak[kind] for kind in ("weights", "optimizer", "gradients", "activations", "batch")}
    return {"bytes": peak.total(), "by": by, "margin": MARGIN, "outside": outside, "needs": needs}


def empty_model(config: RunConfig, shapes: Shapes) -> SegmentationModel:
    """The network that would train, on the meta device: shapes without contents."""
    with torch.device("meta"):
        return build_model(config.model, channels=shapes.channels, num_classes=shapes.num_classes)


def smallest_batch(batches: TrainingBatches, model: SegmentationModel) -> int:
    """1, or 2 where BatchNorm could not train on one picture."""
    try:
        refuse_single_value(batches, model, 1)
    except ConfigError:
        return 2
    return 1


def largest_batch(needs: Callable[[int], int], free: int, *, start: int, smallest: int = 1) -> int:
    """The largest batch size in smallest..1024 whose `needs(batch_size)` bytes are within `free`; 0 where none is.

    `needs` must not fall as batches grow. It is called for the answer, for the next larger size, and for few others if
    it grows in a straight line, as memory roughly does.
    """
    low, high = smallest - 1, LARGEST_BATCH + 1  # what fits so far, and what does not
    known, guess = [], min(max(start, smallest), LARGEST_BATCH)
    while high - low > 1:
        known.append((guess, needs(guess)))
        low, high = (guess, high) if known[-1][1] <= free else (low, guess)
        if len(known) == 1:
            guess = math.floor(guess * free / max(known[0][1], 1))
        elif len(known) < LINES:
            (first, first_needs), (last, last_needs) = known[-2:]
            slope = (last_needs - first_needs) / (last - first)
            guess = math.floor(last + (free - last_needs) / slope) if slope > 0 else high
        else:
            guess = (low + high) // 2
        guess = min(max(guess, low + 1), high - 1)
    return low if low >= smallest else 0


def peak_of(config: RunConfig, shapes: Shapes) -> Counter[str]:
    """Bytes by kind at the moment when most are alive, in two training steps and a validation on larger pictures.

    All tensors are on the CPU, whatever trains: fake CUDA tensors would need a device. Raises TrainingError if torch
    has changed too much.
    """
    from unetlab.training.memory_tape import on_fake_tensors  # here: a torch without its private parts still trains

    options, device = config.train, torch.device("cpu")
    num_pictures = min(options.pictures_per_step, shapes.num_samples)
    model = empty_model(config, shapes)
    weights = torch.ones(shapes.num_classes) if options.class_weights == "balanced" else None
    with on_fake_tensors() as tape:
        learner = Learner(
            model,
            make_loss(options.loss, weights),
            device=device,
            precision_name=devices.likely_precision(options.precision, devices.resolve(options.device)),
            clip_norm=options.clip_norm,
            micro_batch=options.batch_size,
            ema=options.ema,
        )
        tape.mark("weights", _tensors_of(learner.model))
        tape.mark("weights", _tensors_of(learner.average) if learner.average else [])
        for parameter in learner.model.parameters():
            parameter.register_post_accumulate_grad_hook(lambda p: tape.mark("gradients", p.grad))
        for _ in range(2):  # the first step creates the optimizer's state; the second batch is made beside the first
            images, masks = augment(*_batch(tape, shapes, num_pictures), options.augment, torch.Generator())
            tape.mark("batch", (images, masks))
            seen = _seen(num_pictures, options.batch_size)
            learner.train_step(images[:seen], masks[:seen], options.max_lr, options.momentum_max)
            tape.mark("optimizer", list(learner.optimizer.state.values()))
        del images, masks
        count, height, width = shapes.validation
        count = min(count, options.batch_size)
        scaled = math.prod(shapes.original) * (4 * shapes.num_classes + 8)  # float32 logits, then int64 class ids
        # else it takes less than the step; a half, because more than the scaled logits is alive beside them
        if scaled > tape.by["activations"] / 2 or count * height * width > seen * math.prod(shapes.canvas):
            batch = _batch(tape, shapes, count, (height, width))
            _validate(learner, batch, shapes.original, whole_pixels=config.data.whole_picture_pixels)
    return tape.by


def _seen(num_pictures: int, micro_batch: int) -> int:
    """How many pictures of a step go through the network here: two parts, since later ones take no more."""
    num_parts = math.ceil(num_pictures / micro_batch)
    return min(2 * math.ceil(num_pictures / num_parts), num_pictures)


def _tensors_of(module: nn.Module) -> list[Tensor]:
    return [*module.parameters(), *module.buffers()]


def _batch(tape: "Tape", shapes: Shapes, count: int, size: tuple[int, int] | None = None) -> tuple[Tensor, Tensor]:
    """images (B,C,H,W) float32 in channels_last and masks (B,H,W) int64, as batches.to_tensors makes them."""
    height, width = size or shapes.canvas
    images = torch.empty(count, height, width, shapes.channels).permute(0, 3, 1, 2)
    masks = torch.zeros(count, height, width, dtype=torch.int64)
    tape.mark("batch", (images, masks))
    return images, masks


def _validate(learner: Learner, batch: tuple[Tensor, Tensor], original: tuple[int, int], *, whole_pixels: int) -> None:
    """What evaluation does with a batch: logits of all, the loss of each, classes at the size of its mask."""
    images, masks = batch
    learner.scored_model.eval()
    with torch.inference_mode(), learner.autocast():
        logits = predict_logits(learner.scored_model, images, whole_pixels=whole_pixels)
        learner.loss(logits[:1], masks[:1])
        if original != (0, 0):
            class_map(logits[0], original)
