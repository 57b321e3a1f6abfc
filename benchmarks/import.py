"""What an import costs beside a bare decode loop: time as a ratio in one run, and the most anonymous memory.

    python benchmarks/import.py [--pairs 1000 10000] [--format png jpg] [--rounds 3]

Generated 512x512 RGB pictures with binary masks. The bare loop decodes every picture and mask once with Pillow into
numpy arrays, on as many threads as the import uses, and keeps nothing. The import copies the originals, decodes,
measures, surveys the masks, fills the cache and commits. Rounds are interleaved; the ratio is the median over rounds.
"""

import argparse
import io
import os
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

from unetlab.workspace import own_workspace

SIDE = 512
DISTINCT = 200  # pictures that are drawn; the others differ in a comment only


def write_pairs(folder: Path, count: int, suffix: str) -> None:
    """`count` pictures with gradients and noise, and masks with discs; each file has bytes of its own."""
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    rng = np.random.default_rng(0)
    drawn = []
    for number in range(min(count, DISTINCT)):
        base = np.sin(columns / (20 + number % 31)) * 40 + np.cos(rows / (15 + number % 17)) * 40 + 120
        noise = rng.integers(-12, 12, (SIDE, SIDE, 3), np.int8)
        picture = np.clip(base[:, :, None] + noise, 0, 255).astype(np.uint8)
        mask = ((columns - 256) ** 2 + (rows - 100 - number % 300) ** 2 < 90**2).astype(np.uint8) * 255
        drawn.append((encoded(picture, suffix), encoded(mask, "png")))
    for number in range(count):
        image, mask = drawn[number % len(drawn)]
        (folder / "images" / f"{number:05}.{suffix}").write_bytes(with_comment(image, number))
        (folder / "masks" / f"{number:05}.png").write_bytes(with_comment(mask, number))


def encoded(pixels: np.ndarray, suffix: str) -> bytes:
    """The file's bytes, at Pillow's usual settings."""
    buffer = io.BytesIO()
    options = {"format": "JPEG", "quality": 90} if suffix == "jpg" else {"format": "PNG"}
    Image.fromarray(pixels).save(buffer, **options)
    return buffer.getvalue()


def with_comment(content: bytes, number: int) -> bytes:
    """The same picture as another file: a comment right after the header."""
    text = b"number\0%d" % number
    if content.startswith(b"\xff\xd8"):
        return content[:2] + b"\xff\xfe" + struct.pack(">H", len(text) + 2) + text + content[2:]
    chunk = struct.pack(">I", len(text)) + b"tEXt" + text + struct.pack(">I", zlib.crc32(b"tEXt" + text))
    return content[:33] + chunk + content[33:]  # signature and IHDR have 33 bytes


def bare(folder: Path) -> float:
    """Seconds to decode every file once, on all cores."""
    paths = sorted((folder / "images").iterdir()) + sorted((folder / "masks").iterdir())

    def decode(path: Path) -> int:
        with Image.open(path) as picture:
            return np.asarray(picture).size

    began = time.perf_counter()
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for _ in pool.map(decode, paths, chunksize=16):
            pass
    return time.perf_counter() - began


def imported(folder: Path, home: Path) -> tuple[float, float, float]:
    """(seconds, most anonymous MiB above the start, seconds to open the report) of an import in its own process."""
    root = Path(__file__).resolve().parents[1]
    done = subprocess.run(
        [sys.executable, __file__, "--child", str(folder)],
        env=os.environ | {"UNETLAB_HOME": str(home), "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    seconds, mib, opening = map(float, done.stdout.split())
    return seconds, mib, opening


def child(folder: str) -> None:
    """Runs in a process of its own: imports, and prints the three figures."""
    from unetlab.data.dataset import open_dataset
    from unetlab.data.importing import import_dataset

    process, most, is_over = psutil.Process(), 0, threading.Event()

    def watch() -> None:
        nonlocal most
        while not is_over.wait(0.05):
            most = max(most, anonymous(process))

    start = anonymous(process)
    watcher = threading.Thread(target=watch)
    watcher.start()
    began = time.perf_counter()
    import_dataset(own_workspace(), [Path(folder)], name="benchmark")
    seconds = time.perf_counter() - began
    is_over.set()
    watcher.join()
    began = time.perf_counter()
    data = open_dataset(own_workspace(), "benchmark")
    for index in range(12):
        data.image(index), data.mask(index)
    opening = time.perf_counter() - began
    print(seconds, (most - start) / 2**20, opening)


def anonymous(process: psutil.Process) -> int:
    """Resident bytes that no file stands behind: memory-mapped pixels do not count."""
    memory = process.memory_info()
    return memory.rss - getattr(memory, "shared", 0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, nargs="+", default=[1000, 10_000])
    parser.add_argument("--format", nargs="+", default=["png", "jpg"], choices=["png", "jpg"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child)
        return
    print(f"{len(os.sched_getaffinity(0))} cores, pictures of {SIDE}x{SIDE} px, {options.rounds} rounds")
    print("format   pairs   bare s   import s   ratio (all rounds)        peak MiB   report s")
    for suffix in options.format:
        for count in options.pairs:
            folder = Path(tempfile.mkdtemp(prefix="unetlab-benchmark-"))
            try:
                write_pairs(folder / "pairs", count, suffix)
                rows = []
                for number in range(options.rounds):
                    bare_s = bare(folder / "pairs")
                    rows.append((bare_s, *imported(folder / "pairs", folder / f"home{number}")))
                    shutil.rmtree(folder / f"home{number}")
                ratios = sorted(row[1] / row[0] for row in rows)
                median = [statistics.median(column) for column in zip(*rows, strict=True)]
                shown = f"{statistics.median(ratios):.2f} ({', '.join(f'{ratio:.2f}' for ratio in ratios)})"
                bare_s, import_s, mib, opening_s = median
                print(f"{suffix:6} {count:7} {bare_s:8.1f} {import_s:10.1f}   {shown:24} {mib:8.0f} {opening_s:10.2f}")
            finally:
                shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
