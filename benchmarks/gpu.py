"""The figures that need a GPU: speed by precision, size, batch, layout and torch.compile; memory against its forecast.

    python benchmarks/gpu.py [--json] [--pairs 5] [--steps 50]
    python benchmarks/gpu.py --device cpu --quick      runs every line in a minute, for the code's sake

Images per second are those of training steps (forward, loss, backward, AdamW) of the default U-Net on random pictures
that lie on the device, between two synchronisations, the first steps left out. Ratios come from interleaved pairs. The
lines against a bare loop, Lightning and fastai are those of train.py on this device, with the real worker; the last two
only where their virtual environment is there already.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import measuring
import torch
import train
from measuring import Row, config_of, finished, interleaved, make_set, median_interval, print_rows, workspace

from unetlab.models.unet import UNet
from unetlab.runs import jobs
from unetlab.training import precision
from unetlab.training.learner import Learner
from unetlab.training.losses import make_loss
from unetlab.workspace import own_workspace

LR = 1e-3
MIB = 2**20


@dataclass(frozen=True)
class Trial:
    """One way to train. `backend`: torch.compile's, "" = not compiled."""

    size: int
    batch_size: int = 8
    precision: str = "bf16-mixed"
    is_channels_last: bool = True
    backend: str = ""
    channels: int = 3


@dataclass(frozen=True)
class Scope:
    """How much is measured."""

    device: torch.device
    sizes: tuple[int, ...] = (256, 512)
    batches: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64, 128)
    backend: str = "inductor"
    base_width: int = 32
    depth: int = 4
    warm_up: int = 10
    steps: int = 50
    pairs: int = 5


def quick(scope: Scope) -> Scope:
    """Every line once, on a U-Net of a few channels; torch.compile without its compiler."""
    return replace(
        scope, sizes=(32,), batches=(1, 2), backend="eager", base_width=4, depth=2, warm_up=2, steps=3, pairs=1
    )


def wait_for(device: torch.device) -> None:
    """Returns once the device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peak_bytes(device: torch.device) -> int | None:
    """Most bytes that torch's allocator had given out since the last `forget`; None on a CPU, which has none."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None


def forget(device: torch.device) -> None:
    """Gives the memory of what was deleted back, and counts the peak from here."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def batch_for(trial: Trial, scope: Scope) -> tuple[torch.Tensor, torch.Tensor]:
    """Random pictures (B,C,H,W) and masks (B,H,W) of two classes, on the device."""
    shape = (trial.batch_size, trial.channels, trial.size, trial.size)
    layout = torch.channels_last if trial.is_channels_last else torch.contiguous_format
    images = torch.rand(shape, device=scope.device).to(memory_format=layout)
    return images, torch.randint(2, (shape[0], *shape[2:]), device=scope.device)


def bare_step(trial: Trial, scope: Scope, *, reads_loss: bool) -> Callable[[], None]:
    """A training step in plain PyTorch. `reads_loss`: with .item(), which waits for the device."""
    model = UNet(trial.channels, 2, scope.base_width, scope.depth).to(scope.device)
    if trial.is_channels_last:
        model = model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    called = torch.compile(model, backend=trial.backend) if trial.backend else model
    optimizer, loss_of = torch.optim.AdamW(model.parameters(), lr=LR), make_loss("cross_entropy+dice")
    scaler = precision.gradient_scaler(trial.precision, scope.device)
    images, masks = batch_for(trial, scope)

    def step() -> None:
        with precision.autocast(trial.precision, scope.device):
            loss = loss_of(called(images), masks)
        optimizer.zero_grad()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        if reads_loss:
            loss.item()

    return step


def learner_step(trial: Trial, scope: Scope) -> Callable[[], None]:
    """unetlab's own step on the same pictures."""
    model = UNet(trial.channels, 2, scope.base_width, scope.depth)
    loss = make_loss("cross_entropy+dice")
    learner = Learner(model, loss, device=scope.device, precision_name=trial.precision)
    images, masks = batch_for(trial, scope)

    def step() -> None:
        learner.train_step(images, masks, LR, 0.9)

    return step


def images_per_second(step: Callable[[], None], trial: Trial, scope: Scope) -> float:
    """Of `scope.steps` steps after the warm-up."""
    for _ in range(scope.warm_up):
        step()
    wait_for(scope.device)
    began = time.perf_counter()
    for _ in range(scope.steps):
        step()
    wait_for(scope.device)
    return scope.steps * trial.batch_size / (time.perf_counter() - began)


def speed(trial: Trial, scope: Scope) -> dict[str, Any]:
    """The trial with images_per_s, first_step_s (compiling is in it) and peak_bytes; images_per_s None: too large."""
    forget(scope.device)
    try:
        step = bare_step(trial, scope, reads_loss=False)
        began = time.perf_counter()
        step()
        wait_for(scope.device)
        first = time.perf_counter() - began
        rate = images_per_second(step, trial, scope)
    except torch.OutOfMemoryError:
        rate, first = None, None
    return {**asdict(trial), "images_per_s": rate, "first_step_s": first, "peak_bytes": peak_bytes(scope.device)}


def speeds(scope: Scope) -> list[dict[str, Any]]:
    """Precision by size, the batch sweep up to what fits, layout and compilation."""
    trials = [Trial(size, precision=name) for size in scope.sizes for name in ("fp32", "fp16-mixed", "bf16-mixed")]
    usual = Trial(scope.sizes[0])
    trials += [replace(usual, is_channels_last=False), replace(usual, backend=scope.backend)]
    measured = [speed(trial, scope) for trial in trials]
    for batch_size in scope.batches:
        measured.append(speed(replace(usual, batch_size=batch_size), scope))
        if measured[-1]["images_per_s"] is None:
            break
    return measured


def ratios(scope: Scope) -> list[Row]:
    """What reading the loss costs, and unetlab's step beside a bare one that reads it too."""
    trial = Trial(scope.sizes[0])
    silent, reading = (bare_step(trial, scope, reads_loss=reads) for reads in (False, True))
    ours = learner_step(trial, scope)

    def pairs(name: str, first: Callable[[], None], second: Callable[[], None]) -> list[float]:
        measured = interleaved(
            lambda: images_per_second(first, trial, scope),
            lambda: images_per_second(second, trial, scope),
            pairs=scope.pairs,
            name=name,
        )
        return [one / other for one, other in measured]

    where = f"images per second at {trial.size} px, batch {trial.batch_size}, {trial.precision}"
    return [
        Row("item", f"{where}: a bare step with .item() / without", pairs("item", reading, silent)),
        Row("step", f"{where}: Learner.train_step / a bare step with .item()", pairs("step", ours, reading), 0.97),
    ]


def memory(scope: Scope) -> list[dict[str, Any]]:
    """Peak of torch's allocator in two training steps with its forecast, for each size and precision."""
    found = []
    for size in scope.sizes:
        make_set(f"memory{size}", train=8, valid=2, size=size)
        for name in ("fp32", "bf16-mixed"):
            options = {
                "data.image_size": size,
                "model.base_width": scope.base_width,
                "model.depth": scope.depth,
                "train.precision": name,
                "train.device": scope.device.type,
            }
            config = config_of(f"memory{size}", options, kind="forecast")
            result = finished(jobs.start(own_workspace(), config)).read("result.json")
            expected, trial = result["bytes"], Trial(size, config.train.batch_size, name, channels=1)
            forget(scope.device)
            step = learner_step(trial, scope)
            step()
            step()
            wait_for(scope.device)
            peak = peak_bytes(scope.device)
            ratio = None if peak is None else expected / peak
            found.append({"size": size, "precision": name, "peak_bytes": peak, "forecast": expected, "ratio": ratio})
    return found


def beside_peers(scope: Scope) -> list[Row]:
    """The lines of train.py on this device; Lightning and fastai where they are installed."""
    names = ["stepping", "whole"]
    if (measuring.peers_folder() / "bin" / "python").exists():
        names += ["lightning", "fastai"]
    numbers = {
        "pairs": scope.pairs,
        "size": scope.sizes[0],
        "base-width": scope.base_width,
        "depth": scope.depth,
        "steps": 2 * (scope.warm_up + scope.steps),
        "steps-per-epoch": scope.warm_up + scope.steps,
        "warm-up": scope.warm_up,
    }
    given = [part for key, value in numbers.items() for part in (f"--{key}", str(value))]
    return train.measure_all(train.arguments([*given, "--device", scope.device.type, "--only", *names]))


def print_speeds(found: list[dict[str, Any]]) -> None:
    print("  px   batch   precision    layout          compiled    images/s   first step s   peak MiB")
    for row in found:
        layout = "channels_last" if row["is_channels_last"] else "contiguous"
        rate, first = row["images_per_s"], row["first_step_s"]
        speed = "does not fit" if rate is None else f"{rate:9.1f} {first:14.2f}"
        peak = "-" if row["peak_bytes"] is None else f"{row['peak_bytes'] / MIB:.0f}"
        print(
            f"{row['size']:4} {row['batch_size']:7}   {row['precision']:10}   {layout:13}   {row['backend'] or 'no':8} "
            f"{speed:>24} {peak:>10}"
        )


def print_memory(found: list[dict[str, Any]]) -> None:
    print("\nForecast of the peak of two training steps, batch 8, over the peak that torch's allocator reports:")
    for row in found:
        seen = (
            "no allocator to ask" if row["ratio"] is None else f"{row['peak_bytes'] / MIB:.0f} MiB, {row['ratio']:.3f}"
        )
        print(f"{row['size']:4} px, {row['precision']:10}: forecast {row['forecast'] / MIB:.0f} MiB, seen {seen}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--quick", action="store_true", help="tiny: to see that every line runs")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output, nothing else")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--steps", type=int, default=50, help="of each figure")
    options = parser.parse_args()
    scope = Scope(precision.open_device(options.device), steps=options.steps, pairs=options.pairs)
    scope = quick(scope) if options.quick else scope
    name = torch.cuda.get_device_name() if options.device == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    with workspace():
        found, seen = speeds(scope), memory(scope)
    rows = ratios(scope) + beside_peers(scope)
    if options.json:
        about = {"device": name, "torch": torch.__version__, "speeds": found, "memory": seen}
        print(json.dumps(about | {"ratios": [asdict(row) | asdict(median_interval(row.ratios)) for row in rows]}))
        return
    print(f"{name}, torch {torch.__version__}\n")
    print_speeds(found)
    print_memory(seen)
    print_rows(rows)


if __name__ == "__main__":
    main()
