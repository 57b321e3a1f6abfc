"""What training and the sweep start from, built the same way from the same config."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from unetlab import lr_curve
from unetlab.config import RunConfig
from unetlab.data.dataset import DataSet, open_dataset
from unetlab.errors import ConfigError
from unetlab.events import Event, Note
from unetlab.inference.pictures import Pictures
from unetlab.models.contract import SegmentationModel
from unetlab.models.registry import build_model
from unetlab.runs import sweep_rate
from unetlab.runs.store import Run
from unetlab.training import precision, threads
from unetlab.training.artifacts import write_environment
from unetlab.training.batches import TrainingBatches
from unetlab.training.distributed import Team, smallest_part, with_sync_batchnorm
from unetlab.training.learner import Learner
from unetlab.training.losses import Loss, balanced_weights, make_loss

OnEvent = Callable[[Event], None]
ShouldStop = Callable[[], bool]


@dataclass
class Setup:
    """All that a step needs."""

    data: DataSet
    pictures: Pictures
    batches: TrainingBatches
    learner: Learner


def set_up(run: Run, config: RunConfig, device_name: str, on_event: OnEvent, *, team: Team | None = None) -> Setup:
    """Data, batches and a learner with fresh weights from the seed. Writes environment.json; a resume compares it.

    `team`: the processes that train together, one by default; its leader writes.
    """
    team = team or Team()
    options, seen = config.train, run.read("environment.json") or {}
    data, device = (
        open_dataset(run.workspace, config.dataset, version=seen.get("content_hash")),
        precision.open_device(device_name),
    )
    precision_name = precision.resolve(options.precision, device)
    micro_batch = run.status.micro_batch or config.pictures_at_a_time
    torch.manual_seed(options.seed)
    model = build_model(config.model, channels=data.channels, num_classes=data.num_classes)
    model.set_normalisation(*data.statistics())
    if config.sync_batchnorm and team.size > 1:
        model = with_sync_batchnorm(model, device)
    learner = Learner(
        model,
        loss_of(config, data, device),
        device=device,
        precision_name=precision_name,
        weight_decay=options.weight_decay,
        clip_norm=options.clip_norm,
        micro_batch=micro_batch,
        ema=options.ema,
        lr_slice=options.lr_slice,
        team=team,
    )
    pictures = Pictures(data, config.data)
    batches = TrainingBatches(
        pictures, batch_size=options.pictures_per_step, augment=options.augment, seed=options.seed, device=device
    )
    is_healed = micro_batch < config.pictures_at_a_time
    if is_healed and team.size == 1 and micro_batch > 1:  # never fail a run that has healed for one picture's sake
        batches.leaves_out_single = (single_value_step(batches, model, micro_batch) or 1) > 1
    refuse_single_value(batches, model, micro_batch, num_devices=team.size)
    if team.size == 1:  # torchrun gives each process its own number
        torch.set_num_threads(threads.known(run, config) or threads.fastest(learner, batches))
    if not team.is_leader:
        return Setup(data, pictures, batches, learner)
    environment = write_environment(run, config, data, device, precision_name, lr_scales=learner.lr_scales)
    before = {"result_version": 1, **seen} if seen else {}  # the first runs did not write theirs
    changed = [f"{key} was {before[key]}, is {now}" for key, now in environment.items() if before.get(key, now) != now]
    if changed:
        on_event(Note(f"Changed since the last attempt: {'; '.join(changed)}. Losses can differ from an unbroken run."))
    if config.lr_from and not seen:
        sweep = Run(run.workspace.runs / config.lr_from.sweep)
        pick = lr_curve.LABELS[config.lr_from.pick]
        on_event(Note(f"Learning rate {options.max_lr:.2e}: {pick} of {sweep_rate.named(sweep)}."))
    place = device_name if team.size == 1 else f"{team.size} devices, {device_name} first"
    on_event(Note(f"Training in {precision_name} on {place}.", about={"precision": precision_name}))
    if is_healed:
        same = "Each step still sees the same pictures at the same rate, every pixel counting the same."
        if batches.leaves_out_single:
            same = (
                "A step with an odd number of pictures leaves out its last one, on which BatchNorm cannot train alone."
            )
        on_event(
            Note(
                f"Memory ran out, so {micro_batch} pictures go through at a time, not {config.pictures_at_a_time}. "
                f"{same} BatchNorm sees smaller batches, so the losses differ a little.",
                about={"micro_batch": micro_batch},
            )
        )
    return Setup(data, pictures, batches, learner)


def refuse_single_value(
    batches: TrainingBatches, model: SegmentationModel, micro_batch: int, *, num_devices: int = 1
) -> None:
    """Raises ConfigError if BatchNorm at the coarsest level would see a single value and could not train."""
    count = single_value_step(batches, model, micro_batch, num_devices=num_devices)
    if count is None:
        return
    height, width = batches.canvas
    shared = f"is shared by {num_devices} devices, at most" if num_devices > 1 else "goes through at most"
    raise ConfigError(
        f"Pictures of {width}x{height} px leave a single pixel at the bottom of this model, which makes them "
        f"{model.size_multiple} times smaller: too little for BatchNorm when one picture goes through alone. Here a "
        f"step of {count} {shared} {micro_batch} at a time. Use a batch size of 2 or more for each device that leaves "
        "no single picture over, larger pictures, or a smaller depth."
    )


def single_value_step(
    batches: TrainingBatches, model: SegmentationModel, micro_batch: int, *, num_devices: int = 1
) -> int | None:
    """The pictures of a step in which one goes through alone and has a single pixel at the bottom; None without one.

    None also for a network without BatchNorm, which alone minds.
    """
    if not any(isinstance(module, _BatchNorm) for module in model.modules()):
        return None
    bottom = [-(-side // model.size_multiple) for side in batches.canvas]
    if bottom != [1, 1]:
        return None
    return next((n for n in sorted(batches.step_sizes) if smallest_part(n, num_devices, micro_batch) < 2), None)


def loss_of(config: RunConfig, data: DataSet, device: torch.device) -> Loss:
    """The configured loss, its class weights taken from the training split."""
    weights = None
    if config.train.class_weights == "balanced":
        weights = balanced_weights(torch.as_tensor(data.class_pixels("train"))).to(device)
    return make_loss(config.train.loss, weights)
