"""Seconds to a stated score: unetlab beside fastai's unet_learner and segmentation_models_pytorch's Unet.

    python benchmarks/quality.py [--seeds 3] [--lr 3e-3] [--encoder resnet18|resnet34] [--only sample isbi]

sample: the built-in pictures, 128 px, 20 epochs, mean Dice 0.90. isbi: ISBI 2012 membranes, 24 slices to train and 6 to
validate (stored split), 256 px squares, 8 epochs, membrane Dice 0.75; needs the folder $UNETLAB_TEST_DATA (by default
../shared/data). The same budget for all: pictures, split, epochs, batch of 8, peak rate of a one-cycle schedule; no
pretrained weights; each with its own augmentation, precision and loss (peers.py). The clock runs from the start of the
process, its imports included, to the first validation that reaches the score: mean Dice from pixel counts pooled over
whole validation pictures, background left out, computed by the same code for all.
"""

import argparse
import os
import statistics
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from measuring import (
    Trace,
    config_of,
    python_of_peers,
    train_elsewhere,
    train_in_worker,
    workspace,
    write_arrays,
)
from peers import Job
from sets import test_data

from unetlab.data.importing import import_dataset
from unetlab.data.samples import create_sample
from unetlab.workspace import own_workspace


@dataclass(frozen=True)
class Problem:
    """A data set, how it is trained on, and the mean Dice that is asked for."""

    target: float
    epochs: int
    image_size: int
    size_mode: str
    create: Callable[[], object]


def import_membranes() -> None:
    import_dataset(own_workspace(), [test_data() / "isbi_membrane"], name="isbi")


PROBLEMS = {
    "sample": Problem(0.90, 20, 128, "resize", create_sample),
    "isbi": Problem(0.75, 8, 256, "tile", import_membranes),
}


def train_ours(name: str, problem: Problem, job: Job) -> Trace:
    """unetlab's defaults but for the rate, the epochs and the size."""
    options = {
        "data.image_size": problem.image_size,
        "data.size_mode": problem.size_mode,
        "train.epochs": job.epochs,
        "train.batch_size": job.batch_size,
        "train.max_lr": job.lr,
        "train.seed": job.seed,
        "train.device": job.device,
    }
    return train_in_worker(config_of(name, options))


def seconds_to(target: float, trace: Trace) -> float | None:
    """From the start of the process to the first validation with the score; None when it was never reached."""
    return next((time - trace.began for time, score in trace.scores if score >= target), None)


def best_within(seconds: float, trace: Trace) -> float:
    """The best score of the first `seconds`; 0 before the first validation."""
    return max((score for time, score in trace.scores if time - trace.began <= seconds), default=0.0)


def compare(name: str, options: argparse.Namespace, folder: Path) -> None:
    """Trains every program with every seed at every rate, one after the other, and prints the table."""
    problem = PROBLEMS[name]
    problem.create()
    write_arrays(name, folder / f"{name}.npz", image_size=None if problem.size_mode == "tile" else problem.image_size)
    job = Job(
        str(folder / f"{name}.npz"),
        epochs=options.epochs or problem.epochs,
        batch_size=8,
        device=options.device,
        crop_px=problem.image_size if problem.size_mode == "tile" else 0,
        encoder=options.encoder,
    )
    python = python_of_peers()
    programs: dict[str, Callable[[Job], Trace]] = {
        "unetlab": partial(train_ours, name, problem),
        "fastai unet_learner": partial(train_elsewhere, "fastai_unet", python=python),
        "segmentation_models": partial(train_elsewhere, "smp_unet", python=python),
    }
    print(f"\n{name}: seconds to a mean Dice of {problem.target}; {job.epochs} epochs, {options.seeds} seeds")
    print("program                  rate   reached   seconds (median, all)          first step s   best Dice   *")
    for lr in options.lr:
        traces = {program: [] for program in programs}
        for seed in range(options.seeds):
            for program, train in programs.items():
                traces[program].append(train(replace(job, lr=lr, seed=seed)))
        # the whole time of unetlab's median run, its final scores included, as a budget for all
        budget = statistics.median(trace.ended - trace.began for trace in traces["unetlab"])
        for program, all_of_it in traces.items():
            reached = sorted(s for s in (seconds_to(problem.target, trace) for trace in all_of_it) if s is not None)
            seconds = f"{statistics.median(reached):.1f} ({', '.join(f'{s:.1f}' for s in reached)})" if reached else "-"
            first = statistics.median(trace.steps[0][1] - trace.began for trace in all_of_it)
            best = statistics.median(max(score for _, score in trace.scores) for trace in all_of_it)
            within = statistics.median(best_within(budget, trace) for trace in all_of_it)
            share = f"{len(reached)} of {len(all_of_it)}"
            print(f"{program:20} {lr:8.1e}   {share:7}   {seconds:28} {first:14.1f} {best:11.3f}   {within:.3f}")
        print(f"* best Dice within {budget:.0f} s, the time in which unetlab's run had ended; medians over seeds")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--lr", type=float, nargs="+", default=[3e-3], help="peak rates that all programs try")
    parser.add_argument("--epochs", type=int, help="instead of the problem's own")
    parser.add_argument("--encoder", default="resnet18", choices=["resnet18", "resnet34"])
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--only", nargs="+", choices=list(PROBLEMS), default=list(PROBLEMS))
    options = parser.parse_args()
    print(f"{len(os.sched_getaffinity(0))} cores, {options.device}; encoder of the others: {options.encoder}")
    with workspace() as folder:
        for name in options.only:
            compare(name, options, folder)


if __name__ == "__main__":
    main()
