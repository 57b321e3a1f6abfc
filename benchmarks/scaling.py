"""How cost grows: with the number of pictures, with their size, with the number of logged steps; and memory.

    python benchmarks/scaling.py [--pairs 3] [--images 1000 10000] [--sizes 128 512] [--logged 1000 100000]

An exponent is log(cost ratio) / log(size ratio): 1 is linear, 0 is constant. The larger and the smaller one are run in
turn, in the order A B B A. Drawing and importing 10,000 pictures takes a minute of its own; what an import costs says
import.py, what the page costs page.py.
"""

import argparse
import math
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psutil
from measuring import (
    Row,
    config_of,
    interleaved,
    make_set,
    print_rows,
    seconds_to_result,
    steps_per_second,
    train_in_worker,
    workspace,
)

from unetlab import events
from unetlab.runs.store import EventWriter, Run, read_events

WARM_UP = 5
LOOK_S = 0.05  # memory is sampled so often
LINEAR, FLAT = 1.1, 1.1
SMALL_NET = {"model.base_width": 4, "model.depth": 2, "train.epochs": 1, "train.device": "cpu"}


def exponents(measured: list[tuple[float, float]], sizes: tuple[float, float]) -> list[float]:
    """log(cost ratio) / log(size ratio) for each pair (cost of the larger, cost of the smaller)."""
    smaller, larger = sizes
    return [math.log(large / small) / math.log(larger / smaller) for large, small in measured]


def grow_images(counts: tuple[int, int], pairs: int) -> list[Row]:
    """Time and memory of a training over few and many pictures of 64 px."""
    most: dict[int, list[float]] = {count: [] for count in counts}
    for count in counts:
        make_set(f"many{count}", train=count - count // 10, valid=count // 10, size=64)

    def cost(count: int) -> float:
        seen = [0]
        trace = train_in_worker(
            config_of(f"many{count}", SMALL_NET | {"data.image_size": 64}),
            on_look=lambda pid: seen.append(anonymous(pid)),
            poll_s=LOOK_S,
        )
        most[count].append(max(seen) / 2**20)
        return seconds_to_result(trace, warm_up=WARM_UP)

    few, many = counts
    measured = interleaved(lambda: cost(many), lambda: cost(few), pairs=pairs, name="images")
    shown = ", ".join(f"{max(values):.0f} MiB at {count:,}" for count, values in most.items())
    return [
        Row(
            "images, time",
            f"exponent of the seconds from step {WARM_UP} to the result, one epoch over {few:,} and {many:,} pictures",
            exponents(measured, counts),
            at_most=LINEAR,
        ),
        Row(
            "images, memory",
            f"ratio of the worker's most anonymous memory, {many:,} pictures / {few:,} ({shown}); pairs by order",
            [large / small for large, small in zip(most[many], most[few], strict=True)],
            at_most=FLAT,
        ),
    ]


def anonymous(pid: int) -> int:
    """Resident bytes of a process that no file stands behind: memory-mapped pixels do not count. 0 once it is gone."""
    try:
        memory = psutil.Process(pid).memory_info()
    except psutil.NoSuchProcess:
        return 0
    return memory.rss - getattr(memory, "shared", 0)


def grow_size(sizes: tuple[int, int], pairs: int, steps: int) -> Row:
    """Time of a step on small and large pictures, the same ones scaled."""
    small, large = sizes
    make_set("large", train=2 * steps, valid=2, size=large)

    def cost(size: int) -> float:
        options = {"model.base_width": 16, "train.batch_size": 2, "train.epochs": 1, "train.device": "cpu"}
        return 1 / steps_per_second(
            train_in_worker(config_of("large", options | {"data.image_size": size})), warm_up=WARM_UP
        )

    measured = interleaved(lambda: cost(large), lambda: cost(small), pairs=pairs, name="size")
    return Row(
        "size",
        f"exponent, in pixels, of the seconds of a step at {small} and {large} px (U-Net of base width 16, batch 2)",
        exponents(measured, (small**2, large**2)),
        at_most=LINEAR,
    )


def grow_log(counts: tuple[int, int], pairs: int, folder: Path) -> list[Row]:
    """Time to write and to read a run's events, short and long."""
    few, many = counts
    runs = {count: Run(folder / f"logged{count}") for count in counts}
    for run in runs.values():
        run.folder.mkdir()

    def write(count: int) -> float:
        (runs[count].folder / "events.jsonl").unlink(missing_ok=True)
        began, writer = time.perf_counter(), EventWriter(runs[count], attempt=1)
        for step in range(count):
            writer.write(events.Batch(step=step, epoch=step // 100, loss=1 / (step + 1), lr=1e-3, momentum=0.9))
        writer.close()
        return time.perf_counter() - began

    def read(count: int) -> float:
        began = time.perf_counter()
        read_events(runs[count])
        return time.perf_counter() - began

    rows = []
    costs: dict[str, Callable[[int], float]] = {"writing": write, "reading": read}
    for what, cost in costs.items():
        measured = interleaved(partial(cost, many), partial(cost, few), pairs=pairs, name=f"log, {what}")
        definition = f"exponent of the seconds for {what} all events of a run of {few:,} and {many:,} logged steps"
        rows.append(Row(f"log, {what}", definition, exponents(measured, counts), at_most=LINEAR))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--steps", type=int, default=20, help="of a training at one size")
    parser.add_argument("--images", type=int, nargs=2, default=[1000, 10_000])
    parser.add_argument("--sizes", type=int, nargs=2, default=[128, 512], help="px")
    parser.add_argument("--logged", type=int, nargs=2, default=[1000, 100_000])
    options = parser.parse_args()
    print(f"{len(os.sched_getaffinity(0))} cores, {options.pairs} pairs")
    with workspace() as folder:
        rows = grow_log(tuple(options.logged), options.pairs, folder)
        rows.append(grow_size(tuple(options.sizes), options.pairs, options.steps))
        rows += grow_images(tuple(options.images), options.pairs)
    print_rows(rows)


if __name__ == "__main__":
    main()
