"""`python -m tests.chaos --minutes 30 --seed N`: a long storm; its workspace is kept when something was found."""

import argparse
import shutil
import tempfile
import time
from pathlib import Path

from tests.chaos.storm import rage

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--minutes", type=float, default=30.0, help="how long it rages, without the calm that follows")
parser.add_argument("--seed", type=int, default=int(time.time()), help="which acts follow one another")
arguments = parser.parse_args()
place = Path(tempfile.mkdtemp(prefix="chaos-"))
storm = rage(place, seed=arguments.seed, seconds=60 * arguments.minutes)
shutil.rmtree(place)
said = f"Seed {arguments.seed}: {len(storm.acts)} acts, nothing lost, every training as if nobody had been there."
print(said)  # noqa: T201
