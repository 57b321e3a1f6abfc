"""Which statistics BatchNorm should be validated with: scores of the same trainings with several, after each epoch.

    python benchmarks/norm_statistics.py [--table]

One-cycle trainings of 120 steps of the U-Net of base width 16 at 128 px on four sets, ISBI and CrackForest in crops;
peak rate 1e-2, on the sample 1.9e-2 too; seeds 0 to 2. BatchNorm's statistics play no part in training, so one training
serves all: running averages with momentum .1 (torch's), .3 and .5, the mean of the last 4 and 8 steps, and estimates
anew from 1, 2 and 4 training batches. Results are recorded in recorded/norm_statistics.jsonl. Half an hour of one core.
"""

import argparse
import statistics
import time
from collections import deque
from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from sets import SETS
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm
from trainings import CPU, Asked, bring, collected, config_for, record_of

from unetlab import schedules
from unetlab.data.dataset import open_dataset
from unetlab.inference.evaluation import evaluate
from unetlab.inference.pictures import Pictures
from unetlab.models.registry import build_model
from unetlab.training import precision
from unetlab.training.batches import TrainingBatches
from unetlab.training.learner import Learner
from unetlab.training.setup import loss_of
from unetlab.workspace import own_workspace

Statistics = list[tuple[Tensor, Tensor]]  # mean and variance of each layer
CROPS = (("data.size_mode", "crop"),)
ASKED = [
    Asked(name, rate, seed, CROPS if name in ("isbi", "crackforest") else ())
    for seed in range(3)
    for name, rate in (("sample", 1.9e-2), ("sample", 1e-2), ("isbi", 1e-2), ("crackforest", 1e-2), ("camvid", 1e-2))
]
MOMENTA, LAST, ESTIMATES = (0.1, 0.3, 0.5), (4, 8), (1, 2, 4)
LOOKS = 12  # at most twice as many validations a training


def scored(one: Asked) -> dict[str, Any]:
    """[mean Dice, validation loss, largest share of one class] by kind of statistics; CPU seconds of each part."""
    config, data = config_for(one), open_dataset(own_workspace(), one.set)
    torch.manual_seed(one.seed)
    model = build_model(config.model, channels=data.channels, num_classes=data.num_classes)
    model.set_normalisation(*data.statistics())
    learner = Learner(
        model,
        loss_of(config, data, CPU),
        device=CPU,
        precision_name=precision.resolve("auto", CPU),
        micro_batch=config.train.batch_size,
    )
    options = config.train
    batches = TrainingBatches(
        Pictures(data, config.data), batch_size=options.batch_size, augment=options.augment, seed=one.seed, device=CPU
    )
    validate = partial(
        evaluate,
        pictures=batches.pictures,
        indices=data.indices("valid"),
        loss=learner.loss.value,
        autocast=learner.autocast,
        device=CPU,
        batch_size=options.batch_size,
    )
    layers, scored_layers = layers_of(learner.model), layers_of(learner.scored_model)
    for layer in layers:
        layer.momentum = 1.0  # then its buffers hold the last batch's own statistics
    averages = {
        m: [(torch.zeros_like(la.running_mean), torch.ones_like(la.running_var)) for la in layers] for m in MOMENTA
    }
    recent: deque[Statistics] = deque(maxlen=max(LAST))
    seconds = {"step": 0.0, "validation": 0.0, **{f"estimate from {count}": 0.0 for count in ESTIMATES}}
    looks, step, every = [], 0, max(1, options.epochs // LOOKS)

    def candidates(epoch: int) -> Iterator[tuple[str, Statistics | None]]:
        yield from ((f"momentum {m}", average) for m, average in averages.items())
        yield from ((f"last {count} steps", mean_of(list(recent)[-count:])) for count in LAST)
        for count in ESTIMATES:
            began = time.thread_time()
            learner.take_statistics(batches.for_statistics(epoch, count, options.batch_size))
            seconds[f"estimate from {count}"] += time.thread_time() - began
            yield f"estimate from {count}", None

    for epoch in range(options.epochs):
        learner.model.train()
        for images, masks in batches.epoch(epoch):
            began = time.thread_time()
            lr, momentum = schedules.planned(step, options.epochs * batches.steps_per_epoch, options)
            learner.train_step(images, masks, lr, momentum)
            seconds["step"] += time.thread_time() - began
            step += 1
            if learner.is_skipped:
                continue
            recent.append([(la.running_mean.clone(), la.running_var.clone()) for la in layers])
            for m, average in averages.items():
                for (mean, variance), (new_mean, new_variance) in zip(average, recent[-1], strict=True):
                    mean.lerp_(new_mean, m)
                    variance.lerp_(new_variance, m)
        if (epoch + 1) % every and epoch + 1 < options.epochs:
            continue
        look: dict[str, Any] = {"step": step, "lr": lr}
        for name, used in candidates(epoch):
            for layer, (mean, variance) in zip(scored_layers, used or [], strict=used is not None):
                layer.running_mean.copy_(mean)
                layer.running_var.copy_(variance)
            began = time.thread_time()
            found = validate(learner.scored_model)
            seconds["validation"] += time.thread_time() - began
            share = found.confusion.sum(0).max() / found.confusion.sum()
            look[name] = [
                round(found.scores.mean_dice or 0.0, 4),
                round(min(found.loss or 0.0, 1e9), 4),
                round(share, 4),
            ]
        looks.append(look)
    count = len(looks)
    each = {"step": step, "validation": count * (len(MOMENTA) + len(LAST) + len(ESTIMATES))}
    return {
        "looks": looks,
        "seconds": {part: round(total / each.get(part, count), 4) for part, total in seconds.items()},
    }


def layers_of(model: torch.nn.Module) -> list[Any]:
    """Its BatchNorm layers."""
    return [module for module in model.modules() if isinstance(module, _BatchNorm)]


def mean_of(steps: list[Statistics]) -> Statistics:
    """The mean over steps, layer by layer."""
    return [
        (torch.stack([mean for mean, _ in layer]).mean(0), torch.stack([variance for _, variance in layer]).mean(0))
        for layer in zip(*steps, strict=True)
    ]


def print_table(found: list[tuple[Asked, dict[str, Any]]]) -> None:
    """By set, over seeds: mean Dice over the first and the second half of the validations, the last, the worst loss."""
    for name, rate in dict.fromkeys((one.set, one.max_lr) for one, _ in found):
        runs = [result for one, result in found if (one.set, one.max_lr) == (name, rate)]
        print(f"\n{name}, {rate:g}: {len(runs)} seeds; CPU seconds {average([run['seconds'] for run in runs])}")
        print(
            "                      first half              second half             last                    worst loss"
        )
        for kind in [kind for kind in runs[0]["looks"][0] if kind not in ("step", "lr")]:
            columns = []
            for part in (
                slice(None, len(runs[0]["looks"]) // 2),
                slice(len(runs[0]["looks"]) // 2, None),
                slice(-1, None),
            ):
                scores = [statistics.mean(look[kind][0] for look in run["looks"][part]) for run in runs]
                columns.append(f"{statistics.median(scores):.3f} ({min(scores):.3f} to {max(scores):.3f})")
            worst = max(look[kind][1] for run in runs for look in run["looks"])
            print(f"  {kind:18}  {'  '.join(columns)}  {worst:.3g}")


def average(rows: list[dict[str, float]]) -> dict[str, float]:
    """The mean of each entry."""
    return {key: round(statistics.mean(row[key] for row in rows), 3) for key in rows[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", action="store_true", help="train nothing, print what is recorded")
    options = parser.parse_args()
    record = record_of("norm_statistics")
    if not options.table:
        bring(SETS)
    print_table(list(collected(ASKED, record, None if options.table else scored)))


if __name__ == "__main__":
    main()
