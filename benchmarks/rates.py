"""Which learning rate trains best: the picks of a sweep beside fixed rates, on six sets; and what the alarm says of it.

    python benchmarks/rates.py [--only sweeps fixed picks group repeats quiet loud] [--table]

Everything is 120 steps of the U-Net of base width 16 at 128 px, one thread, seeds 0 to 2. Results are recorded in
recorded/rates.jsonl: delete that file to measure anew. A script that was ended goes on; two processes may run at once,
each takes what is left. Some four hours of one core. --table prints what is there.
"""

import argparse
import math
import statistics
from collections.abc import Callable, Iterator
from itertools import islice, product
from pathlib import Path
from typing import Any

from sets import SETS
from trainings import Asked, bring, collected, record_of, swept, trained

from unetlab import lr_curve, schedules
from unetlab.diagnosis import ONE_CLASS
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


def picks_of(losses: list[float | None]) -> dict[str, float]:
    """The rate of each pick of a sweep that is not declined, to three digits."""
    options = LRFindOptions()
    rates = [
        schedules.exponential(step, options.num_steps, options.start_lr, options.end_lr) for step in range(len(losses))
    ]
    found = lr_curve.every_pick(rates, [math.inf if loss is None else loss for loss in losses])
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


def print_table(record: Path) -> None:
    """Mean Dice of the last epoch by set and rate, and how far each pick is behind the best fixed rate.

    All medians over seeds. A training that ends below half of the best fixed rate's median has collapsed.
    """
    fixed: dict[tuple[str, float], list[float]] = {}
    chosen: dict[tuple[str, str], list[tuple[float, float]]] = {}
    grouped: dict[tuple[str, float], list[float]] = {}
    for found, listed in ((fixed, FIXED), (grouped, GROUPED)):
        for one, result in collected(listed, record, None):
            found.setdefault((one.set, one.max_lr), []).append(last_dice(result))
    for name, asked in picked(record, list(lr_curve.PICKS), SEEDS):
        for one, result in collected([asked], record, None):
            chosen.setdefault((one.set, name), []).append((last_dice(result), one.max_lr))
    for set_name in SETS:
        of_rates = {rate: fixed[set_name, rate] for rate in RATES if (set_name, rate) in fixed}
        best = max(map(statistics.median, of_rates.values()), default=math.nan)
        print(f"\n{set_name}")
        for rate, scores in of_rates.items():
            other = grouped.get((set_name, rate))
            print(f"  {rate:<24.0e} {_listed(scores)}" + (f"  GroupNorm {_listed(other)}" if other else ""))
        for name in lr_curve.PICKS:
            scores = [score for score, _ in chosen.get((set_name, name), [])]
            if not scores:
                continue
            rates = ", ".join(f"{rate:.2g}" for _, rate in chosen[set_name, name])
            collapsed = sum(score < best / 2 for score in scores)
            print(f"  {name:24} {_listed(scores)}  behind {best - statistics.median(scores):+.3f}, at {rates}", end="")
            print(f", {collapsed} collapsed" if collapsed else "")
    for stage in ("quiet", "loud"):
        found = alarm_runs(stage, record, None)
        spoken = [(one.key, causes) for one, result in found if (causes := set(result["alarms"]) - {"early"})]
        print(f"\nthe alarm speaks in {len(spoken)} of {len(found)} trainings that are to be {stage}: {spoken}")


def last_dice(result: dict[str, Any]) -> float:
    """Mean Dice after the last epoch; 0 for a training that broke off."""
    return 0.0 if result["failure"] else result["dice"][-1]


def _listed(scores: list[float]) -> str:
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
