"""Oracle: the clock. Pairing must stay near linear in the number of names."""

import time

import pytest

from unetlab.data.names.pairing import pair_files

LARGE = {
    "one heap": lambda n: [f"a_{n:05}.png", f"a_{n:05}_mask.png"],
    "unknown words": lambda n: [f"{n:05}_rgb_v2.png", f"{n:05}_annot_final.png"],
    "two kinds": lambda n: [f"J/{n}.jpg", f"SegmentationClass/{n}.png", f"SegmentationObject/{n}.png"],
    "nothing fits": lambda n: [f"images/x{n * 7919 % 99991}_{n}.png", f"masks/{n * 104729 % 99991}y_{n}.png"],
}


@pytest.mark.parametrize("names_of", LARGE.values(), ids=LARGE.keys())
def test_20000_names_take_seconds_not_minutes(names_of):
    names = [name for n in range(10_000) for name in names_of(n)]
    start = time.process_time()  # of this process: other work on the machine does not count
    pair_files(names[:20_000])
    assert time.process_time() - start < 12  # 1 to 3 s on one core of 2024; anything quadratic takes minutes
