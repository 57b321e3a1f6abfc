"""Which learning rate trains best: the picks of a sweep beside fixed rates, on six sets; and what the alarm says of it.

    python benchmarks/rates.py [--only sweeps fixed picks group repeats quiet loud] [--table]

Everything is 120 steps of the U-Net of base width 16 at 128 px, one thread, seeds 0 to 2. Results are recorded in
recorded/rates.jsonl: delete that file to measure anew. A script that was ended goes on; once the sets are imported a
second process may run beside it, each takes what is left. Some four hours of one core. --table prints what is there.
"""

import argparse
import math
import statistics
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from itertools import islice, product
from pathlib import Path
from typing import Any

from sets import SETS
from trainings import Asked, bring, collected, record_of, swept, trained

from unetlab import lr_curve, schedules
from unetlab.diagnosis.black_mask import ONE_CLASS
from unetlab.options import LRFindOptions

RATES = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
SEEDS = (0, 1, 2)
MORE_SEEDS = (3, 4)  # for the preselected pick alone, and the alarm
REPEATED = ("sample", "isbi", "camvid")  # sets whose sweep is repeated, to hold intervals against
REPEATS = 20

FIXED = [Asked(name, rate, seed) for seed, rate, name in product(SEEDS, RATES, SETS)]
SWEPT = [Asked(name, 1e-3, seed, (("lr_find.repeats", 1),)) for seed, name in product((*SEEDS, *MORE_SEEDS), SETS)]
GROUPED = [
    Asked(name, rate, seed, (("model.norm", "group"),))
    for seed, rate, name in product(SEEDS, (3e-3, 1e-2), ("sample", "isbi", "crackforest", "camvid"))
]
REPEATEDLY = [Asked(name, 1e-3, 0, (("lr_find.repeats", REPEATS),)) for name in REPEATED]
# the alarm is to keep quiet on the first forty of these, a run that ends black replaced by the next, and is to speak on
# each of the first ten that end black of the others
QUIET = [Asked(name, rate, seed) for seed, rate, name in product(range(5), (1e-3, 1e-2), SETS)]
LOUD = [Asked(name, rate, seed) for seed, rate, name in product(range(3), (1.0, 3.0), SETS)]
NUM_QUIET, NUM_LOUD = 40, 10


def curve_of(losses: list[float | None]) -> tuple[list[float], list[float]]:
    """(rates, losses) of a recorded sweep."""
    asked = LRFindOptions()
    rates = [schedules.exponential(step, asked.num_steps, asked.start_lr, asked.end_lr) for step in range(len(losses))]
    return rates, [math.inf if loss is None else loss for loss in losses]


def picks_of(losses: list[float | None]) -> dict[str, float]:
    """The rate of each pick of a sweep that is not declined, to three digits."""
    found = lr_curve.every_pick(*curve_of(losses))
    return {name: float(f"{pick.lr:.3g}") for name, pick in found.items() if isinstance(pick, lr_curve.Pick)}


def picked(record: Path, names: list[str], seeds: tuple[int, ...]) -> Iterator[tuple[str, Asked]]:
    """(pick, its training) for the sweeps that are there."""
    for sweep, result in collected([one for one in SWEPT if one.seed in seeds], record, None):
        rates = picks_of(result["losses"][0])
        yield from ((name, Asked(sweep.set, rates[name], sweep.seed)) for name in names if name in rates)


def is_black(result: dict[str, Any]) -> bool:
    """Whether the training ended with one class everywhere, or not at all."""
    return bool(result["failure"]) or result["largest_share"] >= ONE_CLASS


def run(stage: str, record: Path) -> None:
    """One stage; of the alarm's two, as many trainings as the lists need."""
    if stage in ("quiet", "loud"):
        alarm_runs(stage, record, trained)
        return
    chosen = [one for _, one in picked(record, list(lr_curve.PICKS), SEEDS)]
    chosen += [one for _, one in picked(record, [lr_curve.PRESELECTED], MORE_SEEDS)]
    stages = {"sweeps": SWEPT, "repeats": REPEATEDLY, "fixed": FIXED, "group": GROUPED, "picks": chosen}
    for _ in collected(stages[stage], record, swept if stage in ("sweeps", "repeats") else trained):
        pass


def alarm_runs(stage: str, record: Path, do: Callable[[Asked], dict[str, Any]] | None) -> list[tuple[Asked, Any]]:
    """The trainings of one of the alarm's lists, with their results."""
    listed, count = (QUIET, NUM_QUIET) if stage == "quiet" else (LOUD, NUM_LOUD)
    wanted = (found for found in collected(listed, record, do) if is_black(found[1]) == (stage == "loud"))
    return list(islice(wanted, count))


@dataclass(frozen=True)
class Found:
    """What was recorded of a set's trainings, by seed: mean Dice of the last epoch, and how far behind (`regret`).

    `regret`: behind the best fixed rate of the same seed. A training with less than half of that best has collapsed.
    """

    fixed: dict[float, dict[int, float]]
    grouped: dict[float, dict[int, float]]
    picks: dict[str, dict[int, float]]
    rates: dict[str, dict[int, float]]

    def regrets(self, scores: dict[int, float]) -> list[float]:
        """Of trainings by seed, in the order of seeds."""
        return [self.best(seed) - score for seed, score in sorted(scores.items())]

    def best(self, seed: int) -> float:
        """Mean Dice of the best fixed rate of a seed; NaN while none is recorded."""
        return max((scores[seed] for scores in self.fixed.values() if seed in scores), default=math.nan)

    def collapsed(self, scores: dict[int, float]) -> int:
        """How many collapsed."""
        return sum(score < self.best(seed) / 2 for seed, score in scores.items())


def found_on(name: str, record: Path) -> Found:
    """All that was recorded of a set, with the seeds that the fixed rates have."""

    def by_rate(asked: list[Asked]) -> dict[float, dict[int, float]]:
        scores: dict[float, dict[int, float]] = {}
        for one, result in collected([one for one in asked if one.set == name], record, None):
            scores.setdefault(one.max_lr, {})[one.seed] = last_dice(result)
        return scores

    found = Found(by_rate(FIXED), by_rate(GROUPED), {}, {})
    chosen = [(pick, one) for pick, one in picked(record, list(lr_curve.PICKS), SEEDS) if one.set == name]
    results = {one.key: result for one, result in collected([one for _, one in chosen], record, None)}
    for pick, one in chosen:
        if one.key in results:
            found.picks.setdefault(pick, {})[one.seed] = last_dice(results[one.key])
            found.rates.setdefault(pick, {})[one.seed] = one.max_lr
    return found


def preselected_runs(record: Path) -> list[tuple[Asked, dict[str, Any]]]:
    """The trainings with the preselected pick, of all five seeds."""
    asked = [one for _, one in picked(record, [lr_curve.PRESELECTED], (*SEEDS, *MORE_SEEDS))]
    return list(collected(asked, record, None))


def print_table(record: Path) -> None:
    """Mean Dice of the last epoch by set and rate: median (each seed); regret; how many collapsed."""
    for name in SETS:
        found = found_on(name, record)
        print(f"\n{name}")
        for rate, scores in found.fixed.items():
            other = found.grouped.get(rate, {})
            print(_line(f"{rate:.0e}", found, scores) + (f"  GroupNorm {_listed(other.values())}" if other else ""))
        for pick in lr_curve.PICKS:
            if scores := found.picks.get(pick):
                print(_line(pick, found, scores), "at", ", ".join(f"{rate:.2g}" for rate in found.rates[pick].values()))
    print_intervals(record)
    ended = preselected_runs(record)
    print(f"\n{lr_curve.PRESELECTED}: {sum(is_black(result) for _, result in ended)} of {len(ended)} end black")
    for stage in ("quiet", "loud"):
        listed = alarm_runs(stage, record, None)
        spoken = [(one.key, causes) for one, result in listed if (causes := set(result["alarms"]) - {"early"})]
        print(f"\nthe alarm speaks in {len(spoken)} of {len(listed)} trainings that are to be {stage}: {spoken}")


def print_intervals(record: Path) -> None:
    """How often the interval of one of the repeated sweeps holds another one's pick, and its width (high / low)."""
    for one, result in collected(REPEATEDLY, record, None):
        sweeps = [curve_of(losses) for losses in result["losses"]]
        found = [lr_curve.every_pick(*sweep) for sweep in sweeps]
        print(f"\nintervals from one of {len(sweeps)} sweeps, {one.set}: share of the others held, median width")
        intervals = [lr_curve.intervals(*sweep) for sweep in sweeps]
        for name in lr_curve.PICKS:
            ends = [(*each[name], own) for own, each in enumerate(intervals) if name in each]
            others = [
                (pick[name], number) for number, pick in enumerate(found) if isinstance(pick[name], lr_curve.Pick)
            ]
            held = [low <= pick.lr <= high for low, high, own in ends for pick, number in others if number != own]
            width = statistics.median(high / low for low, high, _ in ends)
            print(f"  {name:24} {statistics.mean(held):.3f} {width:.2g}")


def _line(name: str, found: Found, scores: dict[int, float]) -> str:
    said = f"  {name:24} {_listed(scores.values())}  behind {statistics.median(found.regrets(scores)):+.3f}"
    collapsed = found.collapsed(scores)
    return f"{said}, {collapsed} collapsed" if collapsed else said


def last_dice(result: dict[str, Any]) -> float:
    """Mean Dice after the last epoch; 0 for a training that broke off."""
    return 0.0 if result["failure"] else result["dice"][-1]


def _listed(scores: Collection[float]) -> str:
    return f"{statistics.median(scores):.3f} ({', '.join(f'{score:.3f}' for score in scores)})"


def main() -> None:
    stages = ["sweeps", "fixed", "picks", "group", "repeats", "quiet", "loud"]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=stages, default=stages)
    parser.add_argument("--table", action="store_true", help="train nothing")
    options = parser.parse_args()
    record = record_of("rates")
    for stage in [] if options.table else options.only:
        bring(SETS)
        run(stage, record)
    print_table(record)


if __name__ == "__main__":
    main()
