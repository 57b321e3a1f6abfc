"""Files to a stored data set: inspected, decoded, and committed in one step or not at all."""

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from unetlab import files
from unetlab.data import cache, readings, split
from unetlab.data.classes import choose_background, class_infos, shown_values
from unetlab.data.dataset import content_hash, datasets_folder
from unetlab.data.file_names import Split
from unetlab.data.inspection import Inspection, Progress, discard, inspect, need_two, silent, sweep_staging
from unetlab.data.manifest import Manifest, Pair, Problem
from unetlab.data.masks import Reading
from unetlab.errors import DataError

__all__ = ["Inspection", "Progress", "commit", "discard", "free_folder", "import_dataset", "inspect", "sweep_staging"]

STATISTICS_IMAGES = 256  # mean and deviation settle long before; keeps the cost of a large set bounded


def commit(
    inspection: Inspection,
    *,
    name: str,
    reading: str | None = None,
    valid_fraction: float = 0.2,
    seed: int = 0,
    progress: Progress | None = None,
    note: str = "",
    root: Path | None = None,
) -> Manifest:
    """Decodes an inspected import and makes it the data set `name`, in one rename.

    reading: a key of `readings.choices`, where the inspection's own reading is not wanted or it has a question.
    The inspection stays, for another try, where only the answer or the name needs mending: NeedsReading, or
    DataError for an unknown reading and a name that is taken or not allowed. After any other end it is gone.
    """
    chosen = inspection.reading
    if reading is not None:
        chosen = readings.read_as(inspection.survey, reading, inspection.class_file)
    if chosen is None:
        raise inspection.question or DataError("This import has no reading of its masks.")
    target = free_folder(name, root=root)
    try:
        manifest = _decode(inspection, name, chosen, valid_fraction, seed, progress or silent, note)
        files.write_json(inspection.folder / "manifest.json", manifest.model_dump(mode="json"))
        os.chmod(inspection.folder, 0o755)  # mkdtemp makes it private
        try:
            os.rename(inspection.folder, target)
        except OSError:
            free_folder(name, root=root)  # says so when another import took the name meanwhile
            raise
    except BaseException:
        discard(inspection)
        raise
    return manifest


def import_dataset(
    sources: Sequence[Path],
    *,
    masks: Path | None = None,
    name: str,
    reading: str | None = None,
    valid_fraction: float = 0.2,
    seed: int = 0,
    progress: Progress | None = None,
    note: str = "",
    root: Path | None = None,
) -> Manifest:
    """Imports sources as data set `name`, all or nothing; parameters and errors as `inspect` and `commit`.

    Raises NeedsReading, with the choices, when the mask values do not say by themselves what the classes are.
    """
    free_folder(name, root=root)  # before the work rather than after it
    inspection = inspect(sources, masks=masks, reading=reading, progress=progress, root=root)
    try:
        return commit(
            inspection, name=name, valid_fraction=valid_fraction, seed=seed, progress=progress, note=note, root=root
        )
    finally:
        discard(inspection)


def free_folder(name: str, *, root: Path | None = None) -> Path:
    """The folder for a new data set. Raises DataError when the name is not allowed or taken, with a free one."""
    parent = datasets_folder(root)
    folder = files.child_folder(parent, name, DataError)
    if folder.exists():
        number = next(n for n in range(2, 10_000) if not (parent / f"{name}-{n}").exists())
        raise DataError(f"There is a data set '{name}' already. Use another name, such as '{name}-{number}'.")
    return folder


def _decode(
    inspection: Inspection,
    name: str,
    reading: Reading,
    valid_fraction: float,
    seed: int,
    progress: Progress,
    note: str,
) -> Manifest:
    built = cache.build(
        inspection.folder,
        inspection.pairs,
        reading=reading,
        channels=inspection.channels,
        is_deep=inspection.is_deep,
        progress=lambda done: progress("decoding", done, len(inspection.pairs)),
    )
    problems = inspection.problems + [Problem(**failure._asdict()) for failure in built.failures]
    matches = [inspection.pairs[place] for place in built.kept]
    need_two(matches, problems)
    given: list[Split | None] = [match.split for match in matches]
    splits = split.assign([match.name for match in matches], valid_fraction=valid_fraction, seed=seed, given=given)
    pairs = [
        Pair(
            name=match.name,
            image=match.image,
            mask=match.mask,
            matched_by=match.how,
            split=pair_split,
            height=height,
            width=width,
        )
        for match, pair_split, (height, width) in zip(matches, splits, built.sizes, strict=True)
    ]
    pixels = np.sum(built.class_pixels, axis=0).tolist()
    background, why_background = choose_background(reading, pixels)
    ignored = [*(reading.ignored.values if reading.ignored else []), *reading.strays]
    ignored_pixels = sum(height * width for height, width in built.sizes) - sum(pixels)
    decisions = [f"Masks: {reading.meaning} (reading '{reading.key}').", why_background]
    if ignored:
        what = f"'{reading.ignored.name}'" if reading.ignored else ", ".join(map(str, shown_values(reading, ignored)))
        message = f"{ignored_pixels:,} mask pixels of {what} are ignored: they count neither in the loss nor in scores."
        problems.append(Problem(file="", code="ignored-class", message=message, severity="info"))
        decisions.append(message)
    is_given_split = "valid" in given or "test" in given
    decisions.append(
        "Split: as the folders give it." if is_given_split else f"Split: {valid_fraction:.0%} for validation, by name."
    )
    mean, std = _statistics(inspection.folder, built, [s == "train" for s in splits])
    return Manifest(
        name=name,
        created=datetime.now(UTC).isoformat(timespec="milliseconds"),
        note=note,
        channels=inspection.channels,
        bits=16 if inspection.is_deep else 8,
        low=built.low,
        high=built.high,
        mean=mean,
        std=std,
        classes=class_infos(reading, pixels, background=background),
        reading=reading,
        ignored_pixels=ignored_pixels,
        ignored_values=shown_values(reading, ignored),
        pairs=pairs,
        is_given_split=is_given_split,
        valid_fraction=valid_fraction,
        seed=seed,
        pixels_hash=built.pixels_hash,
        content_hash=content_hash(built.pixels_hash, splits),
        unmatched_images=inspection.pairing.unmatched_images,
        unmatched_masks=inspection.pairing.unmatched_masks,
        ignored_files=inspection.pairing.ignored_files,
        problems=problems,
        decisions=decisions,
    )


def _statistics(folder: Path, built: cache.Built, is_train: list[bool]) -> tuple[list[float], list[float]]:
    """Mean and standard deviation per channel in 0..1 over at most STATISTICS_IMAGES training images."""
    stored = cache.load(folder, built.pixels_hash)
    training = np.flatnonzero(is_train)
    chosen = training[np.unique(np.linspace(0, len(training) - 1, STATISTICS_IMAGES).astype(int))]
    low, high = np.array(built.low), np.array(built.high)
    count, total, squares = 0, np.zeros(len(low)), np.zeros(len(low))
    for index in chosen:
        pixels = np.clip((stored.image(index).astype(np.float64) - low) / (high - low), 0, 1).reshape(-1, len(low))
        count += len(pixels)
        total += pixels.sum(axis=0)
        squares += (pixels**2).sum(axis=0)
    mean = total / count
    std = np.sqrt(np.maximum(squares / count - mean**2, 0))
    return mean.tolist(), np.where(std < 1e-3, 1.0, std).tolist()  # a constant channel is only shifted
