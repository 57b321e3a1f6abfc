"""Whether two commits train alike: short seeded runs of both, in six configurations, equal to the bit.

    python benchmarks/same_bits.py 776a0ca              that commit against HEAD
    python benchmarks/same_bits.py FIRST LAST --only tile

Both are checked out into a temporary folder and run there one after the other, on this machine, with this interpreter
and one thread. They are spoken to through the command line alone, so it does not matter how either is built inside.
Each imports the same pictures itself. Compared: loss, learning rate and momentum of every step, the scores of every
epoch, and the result. Exit code 1 where anything differs. About two minutes on two cores.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
NAME = "shapes"
EPOCHS = 3
OPTIONS = {
    "data.image_size": 64,
    "model.base_width": 8,
    "model.depth": 3,
    "train.epochs": EPOCHS,
    "train.batch_size": 3,
    "train.device": "cpu",
    "train.precision": "fp32",  # bf16 would round small differences away
}
CONFIGURATIONS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "default": ({"train.precision": "auto"}, ()),
    "accumulate": ({"train.accumulate": 3}, ()),
    "balanced": ({"train.class_weights": "balanced"}, ()),
    "ema": ({"train.ema": 0.9}, ()),
    "tile": ({"data.size_mode": "tile"}, ()),
    "processes": ({}, ("--devices", "2")),  # gloo, on a CPU
}
NOT_COMPARED = ("type", "time", "attempt", "seconds", "images_per_s")  # they are not of the same moment
PATIENCE_S = 300


def write_pairs(folder: Path, *, count: int = 20) -> Path:
    """`count` noisy pictures of 96x80 px with a box (class 1), a small one (class 2), and their masks; the folder."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(count):
        mask = np.zeros((80, 96), np.uint8)
        for value, side in ((1, 36), (2, 12)):
            top, left = rng.integers(0, mask.shape[0] - side), rng.integers(0, mask.shape[1] - side)
            mask[top : top + side, left : left + side] = value
        picture = np.clip(rng.normal(70, 25, (*mask.shape, 3)) + 50 * mask[..., None], 0, 255).astype(np.uint8)
        Image.fromarray(picture).save(folder / f"{number:02}.png")
        Image.fromarray(mask).save(folder / f"{number:02}_mask.png")
    return folder


def flattened(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    """(dotted name, value) of everything in a JSON value that is compared."""
    if not isinstance(value, dict):
        yield name, value
        return
    for key, part in value.items():
        if key not in NOT_COMPARED:
            yield from flattened(part, f"{name}.{key}" if name else key)


def record(events: list[dict[str, Any]], result: dict[str, Any]) -> dict[str, Any]:
    """What a run says of its numbers, by a name such as "step 3: loss", in the order in which they came about."""
    said: dict[str, Any] = {}
    for event in events:
        if event["type"] in ("batch", "epoch"):
            what = "step" if event["type"] == "batch" else "epoch"
            said |= {f"{what} {event[what]}: {name}": value for name, value in flattened(event, "") if name != what}
    return said | {f"result: {name}": value for name, value in flattened(result, "")}


def difference(first: dict[str, Any], last: dict[str, Any]) -> str | None:
    """The first number of `first` that `last` lacks or has otherwise, or a step or epoch too many; None: all equal.

    What `last` says beside it, such as a score that `first` did not know, is no difference.
    """
    if not any(name.endswith(": loss") for name in first):
        return "no step was logged"
    for name, value in first.items():
        if name not in last:
            return f"{name}: {value!r}, then missing"
        if repr(value) != repr(last[name]):  # 0.0 equals -0.0, their bits differ
            return f"{name}: {value!r}, then {last[name]!r}"
    places = {name.partition(":")[0] for name in first}
    return next((f"{place} is new" for name in last if (place := name.partition(":")[0]) not in places), None)


class Commit:
    """One of the two commits, checked out into `folder`, with a workspace of its own beside it."""

    def __init__(self, commit: str, folder: Path):
        self.tree, self._home = folder / "tree", folder / "home"
        folder.mkdir()
        git("worktree", "add", "--detach", "--quiet", str(self.tree), commit)
        self.name = git("log", "-1", "--format=%h %s", commit)
        settings = {"UNETLAB_HOME": self._home, "UNETLAB_LOCKS": folder / "locks", "PYTHONPATH": self.tree}
        self._environment = os.environ | {name: str(value) for name, value in settings.items()}
        self._environment |= {"OMP_NUM_THREADS": "1"}

    def run(self, configuration: str, pairs: Path) -> dict[str, Any]:
        """The numbers of a training in this configuration."""
        if not self._home.exists():
            where = self._python("-c", "import unetlab; print(unetlab.__file__)")
            if self.tree not in Path(where).parents:
                raise SystemExit(f"{self.name} would run the unetlab in {where}, not its own. Uninstall that one.")
            self._python("-m", "unetlab", "data", "import", str(pairs), "--name", NAME)
        changes, flags = CONFIGURATIONS[configuration]
        sets = [part for key, value in (OPTIONS | changes).items() for part in ("--set", f"{key}={value}")]
        answer = json.loads(self._python("-m", "unetlab", "train", NAME, "--lr", "1e-2", *sets, *flags, "--json"))
        folder = self._home / "runs" / answer["run"]
        lines = (folder / "events.jsonl").read_text().splitlines()
        return record([json.loads(line) for line in lines], json.loads((folder / "result.json").read_text()))

    def remove(self) -> None:
        """Takes the checkout away."""
        git("worktree", "remove", "--force", str(self.tree))

    def _python(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.tree,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
        if done.returncode:
            raise SystemExit(f"python {' '.join(arguments)} failed in {self.name}:\n{done.stderr}")
        return done.stdout.strip()


def git(*arguments: str) -> str:
    """What a git command prints in this repository. Ends the program where it fails."""
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"git {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout.strip()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("first", metavar="FIRST", help="a commit")
    parser.add_argument("last", metavar="LAST", nargs="?", default="HEAD", help="another (default: HEAD)")
    parser.add_argument("--only", choices=CONFIGURATIONS, help="this configuration alone")
    arguments = parser.parse_args()
    commits: list[Commit] = []
    num_differing = 0
    with tempfile.TemporaryDirectory(prefix="unetlab-same-bits-") as name:
        try:
            for which in ("first", "last"):
                commits.append(Commit(getattr(arguments, which), Path(name).resolve() / which))
                print(f"{which}: {commits[-1].name}")
            pairs = write_pairs(Path(name).resolve() / "pairs")
            print(f"{'configuration':14} {'steps':>5} {'epochs':>6}  equal  first difference", flush=True)
            for configuration in [arguments.only] if arguments.only else CONFIGURATIONS:
                first, last = (commit.run(configuration, pairs) for commit in commits)
                found = difference(first, last)
                num_differing += found is not None
                steps, epochs = (sum(name.endswith(f": {loss}") for name in first) for loss in ("loss", "valid_loss"))
                equal = "yes" if found is None else "NO"
                print(f"{configuration:14} {steps:5} {epochs:6}  {equal:5}  {found or ''}".rstrip(), flush=True)
        finally:
            for commit in commits:
                commit.remove()
    return 1 if num_differing else 0


if __name__ == "__main__":
    sys.exit(main())
