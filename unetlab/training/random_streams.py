"""A run's random numbers: one stream for each purpose, all from the run's seed. No two are the same."""

from enum import IntEnum

import numpy as np


class Purpose(IntEnum):
    """What a stream is for. Its number is part of the seed, since numpy takes [7, 3] and [7, 3, 0] for one seed."""

    SHUFFLING = 1  # of an epoch
    MINIBATCH = 2  # crops and augmentation of (epoch, step)
    DROPOUT = 3  # of (step, rank), on all devices but the first
    STATISTICS_SHUFFLING = 4  # of an epoch, for the pictures that BatchNorm's statistics are estimated from
    STATISTICS = 5  # their crops and augmentation, of (epoch, step)


def stream(seed: int, purpose: Purpose, *place: int) -> np.random.Generator:
    """The stream of `purpose` at `place`, such as (epoch, step); all numbers are 0 or more."""
    return np.random.default_rng([seed, purpose, *place])
