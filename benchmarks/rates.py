"""Which learning rate trains best: the picks of a sweep beside fixed rates, on six sets; and what the alarm says of it.

    python benchmarks/rates.py [--only fixed sweeps repeats alarm ...]

Everything is 120 steps of the U-Net of base width 16 at 128 px, one thread, seeds 0 to 2. Results are kept in
artifacts/rates, so that a script that was ended goes on; two processes may run at once, each takes what is left. Some
four hours of one core.
"""

import argparse
from itertools import product

from sets import SETS
from trainings import Asked, bring, collected, results_folder, swept, trained

RATES = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
SEEDS = (0, 1, 2)
REPEATED = ("sample", "isbi", "camvid")  # sets whose sweep is repeated, to hold intervals against
REPEATS = 20

FIXED = [Asked(name, rate, seed) for seed, rate, name in product(SEEDS, RATES, SETS)]
SWEPT = [Asked(name, 1e-3, seed, (("lr_find.repeats", 1),)) for seed, name in product(range(5), SETS)]
REPEATEDLY = [Asked(name, 1e-3, 0, (("lr_find.repeats", REPEATS),)) for name in REPEATED]
# the alarm is to keep quiet on the first forty of these, a run that ends black replaced by the next, and is to speak on
# each of the first ten that end black of the others
QUIET = [Asked(name, rate, seed) for seed, rate, name in product(range(5), (1e-3, 1e-2), SETS)]
LOUD = [Asked(name, rate, seed) for seed, rate, name in product(range(3), (1.0, 3.0), SETS)]
STAGES = {"fixed": (FIXED, trained), "sweeps": (SWEPT, swept), "repeats": (REPEATEDLY, swept)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(STAGES), default=list(STAGES))
    options = parser.parse_args()
    folder = results_folder("rates")
    bring(SETS)
    for stage in options.only:
        asked, do = STAGES[stage]
        collected(asked, folder, do)


if __name__ == "__main__":
    main()
