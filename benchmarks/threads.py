"""What `train.threads = auto` costs: whole trainings beside the best fixed number, on an idle machine and a busy one.

    python benchmarks/threads.py [--rounds 3] [--steps 60]

Each round trains with all threads, with one and with auto, in a rotating order; busy: beside one process that computes
all the time. From the start of the worker to its result, so what auto measures is in it. Close everything else.
"""

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator

from measuring import Row, config_of, make_set, print_rows, train_in_worker, workspace

SET = "benchmark"
BUSY = "while True: sum(range(10**6))"
DEFINITION = "seconds from the start to the result, auto / the better of all threads and one; {steps} steps, {where}"


@contextlib.contextmanager
def neighbour(is_there: bool) -> Iterator[None]:
    """A process that computes all the time, if `is_there`."""
    if not is_there:
        yield
        return
    with subprocess.Popen([sys.executable, "-c", BUSY]) as busy:
        try:
            yield
        finally:
            busy.kill()


def seconds(threads: int | str, options: argparse.Namespace) -> float:
    """Of a whole training with this number of threads."""
    config = config_of(
        SET,
        {
            "data.image_size": 128,
            "train.epochs": options.steps // 6,
            "train.device": "cpu",
            "train.threads": threads,
        },
    )
    trace = train_in_worker(config, poll_s=0.1)
    return trace.ended - trace.began


def measure(where: str, options: argparse.Namespace) -> Row:
    """The row of one kind of machine: a ratio for each round."""
    cores, taken = len(os.sched_getaffinity(0)), []
    for number in range(options.rounds):
        numbers = [cores, 1, "auto"]
        numbers = numbers[number % 3 :] + numbers[: number % 3]
        with neighbour(where == "busy"):
            taken.append({threads: seconds(threads, options) for threads in numbers})
        print(f"  {where}, round {number + 1}: {taken[-1]}", file=sys.stderr, flush=True)
    best = min((cores, 1), key=lambda threads: statistics.median(row[threads] for row in taken))
    ratios = [row["auto"] / row[best] for row in taken]
    at_most = 1.2 if where == "busy" else 1.05
    definition = DEFINITION.format(steps=options.steps, where=where) + f"; the better one was {best}"
    return Row(where, definition, ratios, at_most=at_most)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--only", nargs="+", choices=["idle", "busy"], default=["idle", "busy"])
    options = parser.parse_args()
    with workspace():
        make_set(SET, train=48, valid=6, size=128)
        print_rows([measure(where, options) for where in options.only])


if __name__ == "__main__":
    main()
