"""What the benchmarks of training share: a workspace, pictures, runs of the real worker, pairs, intervals, the table.

Import this module before anything of unetlab: it puts the repository's root on the path.
"""

import contextlib
import importlib.metadata
import itertools
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from peers import Job
from PIL import Image

# scripts are started by their path, and unetlab is not installed
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from unetlab.config import RunConfig
from unetlab.data import geometry, samples
from unetlab.data.dataset import open_dataset
from unetlab.data.importing import import_dataset
from unetlab.runs import jobs
from unetlab.runs.store import Run, read_events
from unetlab.workspace import own_workspace

ROOT = Path(__file__).resolve().parents[1]
POLL_S = 0.5  # how often a run is looked at; each look costs the machine a fraction of a millisecond
COVERAGE = 0.9


@dataclass(frozen=True)
class Trace:
    """What a training left behind; times in seconds since the epoch.

    `began`: its process was asked for, imports lie ahead. `steps`: (epoch, end of the step), in order. `scores`: (time,
    mean Dice) after each validation. `ended`: the result is there.
    """

    began: float
    steps: list[tuple[int, float]]
    scores: list[tuple[float, float]]
    ended: float


@contextlib.contextmanager
def workspace() -> Iterator[Path]:
    """An empty workspace in a temporary folder, and torch's own choice of threads, for all processes started in it."""
    with tempfile.TemporaryDirectory(prefix="unetlab-benchmark-") as name:
        folder = Path(name)
        before = dict(os.environ)
        os.environ.update(UNETLAB_HOME=str(folder / "home"), UNETLAB_LOCKS=str(folder / "locks"))
        os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [before.get("PYTHONPATH")])])
        os.environ.pop("OMP_NUM_THREADS", None)
        try:
            yield folder
        finally:
            os.environ.clear()
            os.environ.update(before)


def make_set(name: str, *, train: int, valid: int, size: int) -> None:
    """A data set of made-up nuclei in the workspace: `train` + `valid` grey pictures of `size` px, two classes."""
    folder = Path(os.environ["UNETLAB_HOME"]).parent / f"drawn-{name}"
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    drawn = samples.make_nuclei(count=min(train + valid, 200), size=size)
    for number in range(train + valid):
        _, picture, mask = drawn[number % len(drawn)]
        picture = np.roll(picture, 3 * (number // len(drawn)), axis=0)  # every file has content of its own
        mask = np.roll(mask, 3 * (number // len(drawn)), axis=0)
        Image.fromarray(picture).save(folder / "images" / f"{number:05}.png")
        Image.fromarray(mask).save(folder / "masks" / f"{number:05}.png")
    import_dataset(own_workspace(), [folder], name=name, valid_fraction=valid / (train + valid))
    shutil.rmtree(folder)
    counts = [len(open_dataset(own_workspace(), name).indices(split)) for split in ("train", "valid")]
    if counts != [train, valid]:
        raise SystemExit(f"The set was to have {train} training and {valid} validation pictures; it has {counts}.")


def write_arrays(name: str, path: Path, *, image_size: int | None = None) -> None:
    """The stored set as a .npz for other programs: for each split images float32 (N,H,W,C) 0..1, masks uint8 (N,H,W).

    `image_size`: scaled as resize mode does it; None keeps the size. Pictures must be of one size.
    """
    data, arrays = open_dataset(own_workspace(), name), {}
    for split in ("train", "valid"):
        pairs = [(data.image(index), data.mask(index)) for index in data.indices(split)]
        if image_size is not None:
            pairs = [geometry.resize(*pair, geometry.fit_size(*pair[1].shape, image_size)) for pair in pairs]
        arrays[f"{split}_images"] = np.stack([image for image, _ in pairs])
        arrays[f"{split}_masks"] = np.stack([mask for _, mask in pairs])
    mean, std = data.statistics()
    background = -1 if data.background is None else data.background
    np.savez(path, **arrays, mean=mean, std=std, num_classes=data.num_classes, background=background)


def config_of(name: str, options: dict[str, Any], *, kind: str = "train") -> RunConfig:
    """The job `kind` on the set `name` with dotted options changed from their defaults."""
    return RunConfig(kind="train", dataset=name).changed(options, kind=kind)


def train_in_worker(
    config: RunConfig, *, on_look: Callable[[int], None] = lambda pid: None, poll_s: float = POLL_S
) -> Trace:
    """The real training: a job in its own worker process, read from its run folder. `on_look(pid)` every `poll_s`."""
    began = time.time()
    run = finished(jobs.start(own_workspace(), config), on_look=on_look, poll_s=poll_s)
    events = read_events(run)[0]
    return Trace(
        began,
        [(event["epoch"], event["time"]) for event in events if event["type"] == "batch"],
        [(event["time"], event["mean_dice"] or 0.0) for event in events if event["type"] == "epoch"],
        (run.folder / "result.json").stat().st_mtime,
    )


def finished(run: Run, *, on_look: Callable[[int], None] = lambda pid: None, poll_s: float = POLL_S) -> Run:
    """The run once it has finished; any other end ends the benchmark with the run's reason and log."""
    try:
        while (status := jobs.wait(run, timeout_s=0)).is_live:
            if status.pid is not None:
                on_look(status.pid)
            time.sleep(poll_s)
    except KeyboardInterrupt:
        jobs.kill(run)  # a worker outlives its starter, and this one's workspace is about to go
        raise
    if status.state != "finished":
        raise SystemExit(f"{run.id} {status.state}: {status.reason}\n{run.log_tail()}")
    return run


def peers_folder() -> Path:
    """The peers' virtual environment, there or not: `$UNETLAB_PEERS`, else artifacts/peers."""
    return Path(os.environ.get("UNETLAB_PEERS") or ROOT / "artifacts" / "peers").resolve()


def python_of_peers() -> str:
    """The Python of the peers' virtual environment, which is made on first use."""
    folder = peers_folder()
    python = folder / "bin" / "python"
    if not python.exists():
        print(f"Installing fastai, Lightning and segmentation_models_pytorch into {folder}.", file=sys.stderr)
        torch = f"torch=={importlib.metadata.version('torch').partition('+')[0]}"
        listed = ["--requirement", Path(__file__).with_name("peers-requirements.txt")]
        making = folder.with_name(f"{folder.name}-making")
        shutil.rmtree(making, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", making], check=True)
        subprocess.run([making / "bin" / "python", "-m", "pip", "install", "--quiet", *listed, torch], check=True)
        making.rename(folder)  # an interrupted installation is no environment
    return str(python)


def train_elsewhere(program: str, job: Job, *, python: str = sys.executable) -> Trace:
    """The job done by a program of peers.py in a process of its own, which `python` runs."""
    folder, began = Path(job.arrays).parent / program, time.time()
    folder.mkdir()
    asked = folder / "job.json"
    asked.write_text(json.dumps(asdict(job)))
    done = subprocess.run(
        [python, Path(__file__).with_name("peers.py"), program, asked], capture_output=True, text=True, cwd=folder
    )
    if done.returncode:
        raise SystemExit(f"{program} failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    answer = Job(**json.loads(asked.read_text()))
    shutil.rmtree(folder)
    return Trace(began, answer.steps, answer.scores, answer.ended)


def steps_per_second(trace: Trace, *, warm_up: int) -> float:
    """Of the stepping loop: over times between neighbouring steps of one epoch, the first `warm_up` steps left out.

    What lies between epochs (validation, previews, saving) is not in it.
    """
    gaps = [
        after - before
        for (epoch, before), (next_epoch, after) in itertools.pairwise(trace.steps[warm_up:])
        if epoch == next_epoch
    ]
    if not gaps:
        raise SystemExit(f"{len(trace.steps)} steps are too few to leave out {warm_up}. Ask for more: --steps N.")
    return len(gaps) / sum(gaps)


def seconds_to_result(trace: Trace, *, warm_up: int) -> float:
    """From the end of step `warm_up` (from 1) to the result: all later steps and whatever comes between and after."""
    return trace.ended - trace.steps[warm_up - 1][1]


def interleaved(
    first: Callable[[], float], second: Callable[[], float], *, pairs: int, name: str
) -> list[tuple[float, float]]:
    """(first, second) for each of `pairs` pairs, run in the order A B B A A B ...: a slow drift hits both alike."""
    measured = []
    for number in range(pairs):
        if number % 2 == 0:
            one, other = first(), second()
        else:
            other, one = second(), first()
        measured.append((one, other))
        print(f"  {name}, pair {number + 1} of {pairs}: {one:.3f} and {other:.3f}", file=sys.stderr, flush=True)
    return measured


@dataclass(frozen=True)
class Interval:
    """The median of independent values and an interval that holds their true median with probability `coverage`."""

    median: float
    low: float
    high: float
    coverage: float


def median_interval(values: Sequence[float]) -> Interval:
    """From order statistics, without an assumption on the distribution: the narrowest symmetric one of 90 % or more.

    Fewer than five values reach less: the whole range then, its coverage stated. Source: the sign test, 1 - 2·P(B < k)
    with B binomial (n, 1/2) for the k-th smallest and largest value.
    """
    ordered, count = sorted(values), len(values)

    def coverage(k: int) -> float:
        return 1 - 2 * sum(math.comb(count, below) for below in range(k)) / 2**count

    best = max((k for k in range(1, count // 2 + 1) if coverage(k) >= COVERAGE), default=1)
    return Interval(statistics.median(ordered), ordered[best - 1], ordered[-best], max(coverage(best), 0.0))


@dataclass(frozen=True)
class Row:
    """A line of the table: what was compared, one ratio for each pair, and the bound that is wanted, if one is."""

    name: str
    definition: str
    ratios: Sequence[float]
    at_least: float | None = None
    at_most: float | None = None

    def verdict(self) -> str:
        """Whether the median keeps the bound."""
        median = statistics.median(self.ratios)
        if self.at_least is not None:
            return f"{'holds' if median >= self.at_least else 'MISSED'} (>= {self.at_least:g})"
        if self.at_most is not None:
            return f"{'holds' if median <= self.at_most else 'MISSED'} (<= {self.at_most:g})"
        return ""


def print_rows(rows: Sequence[Row]) -> None:
    """The table, and below it what each line means."""
    width = max(len(row.name) for row in rows)
    print(f"\n{'':{width}}   median   interval              pairs   wanted")
    for row in rows:
        span = median_interval(row.ratios)
        shown = f"{span.low:.3f} to {span.high:.3f}, {span.coverage:.0%}" if len(row.ratios) > 1 else "one value"
        print(f"{row.name:{width}}   {span.median:6.3f}   {shown:20}   {len(row.ratios):3}   {row.verdict()}")
    print("\nInterval: between order statistics of the pairs' ratios; it holds the true median with that probability.")
    for row in rows:
        print(f"{row.name}: {row.definition}")
