"""Training throughput as ratios: beside a bare PyTorch loop, fastai and Lightning, on the same U-Net and pictures.

    python benchmarks/train.py [--pairs 5] [--steps 120] [--only stepping whole lightning fastai]

Every figure of a pair comes from a process of its own, one at a time, in the order A B B A. unetlab is the real worker,
read from the times in its events.jsonl. peers.py says what the others do. Close everything else: one busy neighbour
makes two threads ten times slower (docs/experiments.md). `--steps` are those of one training; the first `--warm-up`
are left out everywhere.
"""

import argparse
import math
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from measuring import (
    Row,
    config_of,
    interleaved,
    make_set,
    print_rows,
    python_of_peers,
    seconds_to_result,
    steps_per_second,
    train_elsewhere,
    train_in_worker,
    workspace,
    write_arrays,
)
from peers import Job

SET = "benchmark"


@dataclass(frozen=True)
class Line:
    """A ratio to measure: unetlab's figure over the other program's; of times, the other's over unetlab's."""

    program: str
    augment: str
    figure: Callable[..., float]
    at_least: float
    definition: str


LOOP = "steps per second between neighbouring steps of an epoch"
LINES = {
    "stepping": Line("bare", "none", steps_per_second, 0.97, f"{LOOP}, unetlab without augmentation / a bare loop"),
    "whole": Line(
        "bare",
        "standard",
        seconds_to_result,
        0.90,
        "seconds from the end of the warm-up to the result, a bare loop / unetlab with standard augmentation, "
        "validation of a tenth each epoch, previews, events, checkpoints, final scores; same number of steps",
    ),
    "lightning": Line(
        "lightning",
        "none",
        steps_per_second,
        1.25,
        f"{LOOP}, unetlab without augmentation / Lightning bf16-mixed, its defaults",
    ),
    "fastai": Line(
        "fastai",
        "none",
        steps_per_second,
        3.0,
        f"{LOOP}, unetlab without augmentation / fastai fit_one_cycle, its defaults (fp32)",
    ),
}


def measure(name: str, options: argparse.Namespace, arrays: Path) -> Row:
    """The row of line `name`: its pairs, run one after the other."""
    line = LINES[name]
    job = Job(
        str(arrays),
        epochs=math.ceil(options.steps / options.steps_per_epoch),
        batch_size=options.batch_size,
        base_width=options.base_width,
        depth=options.depth,
        device=options.device,
    )
    config = config_of(
        SET,
        {
            "data.image_size": options.size,
            "model.base_width": job.base_width,
            "model.depth": job.depth,
            "train.epochs": job.epochs,
            "train.batch_size": job.batch_size,
            "train.max_lr": job.lr,
            "train.precision": "bf16-mixed",
            "train.augment": line.augment,
            "train.device": job.device,
        },
    )
    python = sys.executable if line.program == "bare" else python_of_peers()

    def ours() -> float:
        return line.figure(train_in_worker(config), warm_up=options.warm_up)

    def theirs() -> float:
        return line.figure(train_elsewhere(line.program, job, python=python), warm_up=options.warm_up)

    measured = interleaved(ours, theirs, pairs=options.pairs, name=name)
    is_time = line.figure is seconds_to_result
    ratios = [their / our if is_time else our / their for our, their in measured]
    return Row(name, line.definition, ratios, at_least=line.at_least)


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """The options in `given`, by default of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--steps", type=int, default=120, help="at least; whole epochs are trained")
    parser.add_argument("--steps-per-epoch", type=int, default=30)
    parser.add_argument("--warm-up", type=int, default=10, help="first steps that are left out")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--size", type=int, default=128, help="px")
    parser.add_argument("--base-width", type=int, default=32)
    parser.add_argument("--depth", type=int, default=4)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--only", nargs="+", choices=list(LINES), default=list(LINES))
    return parser.parse_args(given)


def measure_all(options: argparse.Namespace) -> list[Row]:
    """The rows of `options.only`, all measured on one set of pictures."""
    with workspace() as folder:
        num_train = options.steps_per_epoch * options.batch_size
        make_set(SET, train=num_train, valid=max(round(num_train / 9), 2), size=options.size)
        write_arrays(SET, folder / "arrays.npz")
        return [measure(name, options, folder / "arrays.npz") for name in options.only]


def main() -> None:
    options = arguments()
    print(
        f"{len(os.sched_getaffinity(0))} cores, {options.device}; U-Net of base width {options.base_width}, depth "
        f"{options.depth}; {options.size} px, batch {options.batch_size}; {options.steps} steps in epochs of "
        f"{options.steps_per_epoch}, the first {options.warm_up} left out; {options.pairs} pairs"
    )
    print_rows(measure_all(options))


if __name__ == "__main__":
    main()
