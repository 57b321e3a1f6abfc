"""What a drop of files holds: pairs, mask values and problems, before anything is decided."""

import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from unetlab.data import cache, masks, readings
from unetlab.data.class_files import ClassFile, read_class_file
from unetlab.data.dataset import datasets_folder
from unetlab.data.file_names import natural_key
from unetlab.data.images import Header, read_header
from unetlab.data.manifest import Problem
from unetlab.data.masks import Reading, Survey
from unetlab.data.pairing import Match, Pairing, pair_files
from unetlab.data.sources import Staged, stage
from unetlab.data.strays import known_names
from unetlab.errors import DataError, NeedsReading, NoPairs, UnreadableFile

STAGING_PREFIX = ".staging-"
LEFTOVER_AGE_S = 24 * 3600
MAX_REASONS = 3

Progress = Callable[[str, int, int], None]  # (phase, done, total)


@dataclass
class Inspection:
    """What was found in a staging folder: the report before anything is decided.

    Exactly one of `reading` and `question` is set. `pairs` are those of `pairing` whose files open and agree
    in size.
    """

    folder: Path
    pairing: Pairing
    pairs: list[Match]
    survey: Survey
    reading: Reading | None
    question: NeedsReading | None
    class_file: ClassFile | None
    channels: int
    is_deep: bool
    problems: list[Problem] = field(default_factory=list)


def inspect(
    sources: Sequence[Path],
    *,
    masks: Path | None = None,
    reading: str | None = None,
    progress: Progress | None = None,
    root: Path | None = None,
) -> Inspection:
    """Copies the sources into a staging folder and reports pairs, mask values and problems.

    sources: folders, zips or files; masks: a folder or zip with the masks, when they are apart. reading: a key
    of `readings.choices`. The caller commits the inspection or discards it; forgotten ones are swept after a
    day. progress: called with phases "copying" and "reading masks"; an exception from it cancels.
    Raises NoPairs, DataError (one pair, one mask value, unknown reading) and UnreadableFile (archives).
    """
    parent = datasets_folder(root)
    sweep_staging(root=root)
    folder = Path(tempfile.mkdtemp(dir=parent, prefix=STAGING_PREFIX))
    try:
        return _inspect(folder, [Path(source) for source in sources], masks, reading, progress or silent)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def discard(inspection: Inspection) -> None:
    """Removes the staging folder of an inspection that is not wanted; nothing when it was committed."""
    shutil.rmtree(inspection.folder, ignore_errors=True)


def sweep_staging(*, root: Path | None = None, older_than_s: float = LEFTOVER_AGE_S) -> int:
    """Removes what imports and deletions that were killed left behind; the number of folders removed."""
    parent = datasets_folder(root)
    leftovers = [*parent.glob(f"{STAGING_PREFIX}*"), *parent.glob(".deleted-*")]
    old = [path for path in leftovers if time.time() - path.stat().st_mtime > older_than_s]
    for path in old:
        shutil.rmtree(path, ignore_errors=True)
    return len(old)


def _inspect(
    folder: Path, sources: list[Path], masks_source: Path | None, key: str | None, progress: Progress
) -> Inspection:
    originals = folder / "originals"
    originals.mkdir()
    staged = stage(
        sources, masks=masks_source, into=originals, progress=lambda done, total: progress("copying", done, total)
    )
    pairing = _pair(staged)
    if not pairing.pairs:
        raise NoPairs(_no_pairs(pairing))
    problems = [
        Problem(file=tied_images[0], code="ambiguous", message=_ambiguous(tied_images, tied_masks))
        for tied_images, tied_masks in pairing.ambiguous
    ]
    pairs, headers = _pairs_that_fit(originals, pairing.pairs, problems)
    need_two(pairs, problems)
    survey = masks.survey(
        [originals / match.mask for match in pairs],
        progress=lambda done: progress("reading masks", done, len(pairs)),
    )
    for match in pairs:
        if originals / match.mask in survey.unreadable:
            problems.append(_left_out(match.mask, survey.unreadable[originals / match.mask]))
    pairs = [match for match in pairs if originals / match.mask not in survey.unreadable]
    need_two(pairs, problems)
    class_file = _class_file(originals, staged.class_files, problems)
    if class_file and not known_names(survey, class_file):
        message = f"The {len(class_file.names)} classes of {class_file.file} do not fit the mask values; not used."
        problems.append(Problem(file=class_file.file, code="class-file", message=message))
    reading, question = None, None
    try:
        reading = readings.read_as(survey, key, class_file) if key else readings.propose(survey, class_file)
    except NeedsReading as needs:
        question = needs
    channels = max(headers[match.image].channels for match in pairs)
    is_deep = any(headers[match.image].is_deep for match in pairs)
    problems += _mixtures([headers[match.image] for match in pairs])
    return Inspection(folder, pairing, pairs, survey, reading, question, class_file, channels, is_deep, problems)


def _pair(staged: Staged) -> Pairing:
    """Pairs staged files. Folder words count inside each box, so the boxes' own names are taken off first."""
    if staged.masks is None:
        pairing = pair_files(staged.images)
    else:
        pairing = pair_files(
            [name.removeprefix("images/") for name in staged.images],
            [name.removeprefix("masks/") for name in staged.masks],
        )
        pairing = Pairing(
            pairs=[
                Match(match.name, f"images/{match.image}", f"masks/{match.mask}", match.how, match.split)
                for match in pairing.pairs
            ],
            unmatched_images=[f"images/{name}" for name in pairing.unmatched_images],
            unmatched_masks=[f"masks/{name}" for name in pairing.unmatched_masks],
            ambiguous=[
                ([f"images/{name}" for name in images], [f"masks/{name}" for name in mask_names])
                for images, mask_names in pairing.ambiguous
            ],
        )
    pairing.ignored_files = sorted({*pairing.ignored_files, *staged.ignored}, key=natural_key)
    return pairing


def _pairs_that_fit(
    originals: Path, matches: list[Match], problems: list[Problem]
) -> tuple[list[Match], dict[str, Header]]:
    """Pairs whose headers can be read and agree in size; adds a problem for each of the others."""
    fitting, headers = [], {}
    for match in matches:
        try:
            name = match.image
            header = headers[name] = read_header(originals / name)
            name = match.mask
            mask_header = read_header(originals / name)
        except UnreadableFile as error:
            problems.append(_left_out(name, str(error)))
            continue
        size, mask_size = (header.height, header.width), (mask_header.height, mask_header.width)
        if size != mask_size:
            problems.append(Problem(**cache.differing_sizes(match, size, mask_size)._asdict()))
            continue
        if max(header.num_pages, mask_header.num_pages) > 1:
            message = f"{match.image} or its mask has several pages; the first of each is used."
            problems.append(Problem(file=match.image, code="pages", message=message))
        fitting.append(match)
    return fitting, headers


def _class_file(originals: Path, names: list[str], problems: list[Problem]) -> ClassFile | None:
    for name in names:
        found = read_class_file(originals / name)
        if found:
            return found
        problems.append(Problem(file=name, code="class-file", message=f"{name} holds no class names; not used."))
    return None


def _mixtures(headers: list[Header]) -> list[Problem]:
    problems = []
    num_grey = sum(header.channels == 1 for header in headers)
    if 0 < num_grey < len(headers):
        message = (
            f"{num_grey} of {len(headers)} pictures are grey, the others in colour. All are stored as RGB, "
            "grey as three equal channels."
        )
        problems.append(Problem(file="", code="mixed-channels", message=message, severity="info"))
    num_deep = sum(header.is_deep for header in headers)
    if 0 < num_deep < len(headers):
        message = (
            f"{num_deep} of {len(headers)} pictures have 16 bits a pixel, the others 8. The latter are spread over "
            "the 16-bit range; if they look too bright or too dark beside the others, export all at one depth."
        )
        problems.append(Problem(file="", code="mixed-depth", message=message))
    return problems


def need_two(matches: Sequence[Match], problems: list[Problem]) -> None:
    """Raises DataError, with the first few reasons, when fewer than two pairs are left."""
    if len(matches) >= 2:
        return
    reasons = [problem.message for problem in problems if problem.severity != "info"]
    told = "\n".join(f"  {reason}" for reason in reasons[:MAX_REASONS])
    more = f"\n  ... and {len(reasons) - MAX_REASONS} more" if len(reasons) > MAX_REASONS else ""
    found = "There is one usable pair" if matches else "There is no usable pair"
    raise DataError(
        f"{found} of picture and mask; at least 2 are needed, one to train on and one to validate."
        + (f"\n{told}{more}" if reasons else " Add more pairs.")
    )


def _left_out(file: str, reason: str) -> Problem:
    return Problem(file=file, code="unreadable", message=f"{reason} The pair is left out.")


def _ambiguous(images: list[str], mask_names: list[str]) -> str:
    def listed(names: list[str]) -> str:
        return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")

    return (
        f"{listed(images)} and {listed(mask_names)} fit together in more than one way. None of them is used: "
        "rename them so that each picture has one mask, or leave the extra ones out."
    )


def _no_pairs(pairing: Pairing) -> str:
    def listed(names: list[str]) -> str:
        return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "") if names else "none"

    return (
        "No picture has a mask. "
        f"Pictures: {listed(pairing.unmatched_images)}. Masks: {listed(pairing.unmatched_masks)}.\n"
        "Names that are understood: the same name in two folders (images/1.png and masks/1.png), or the same name "
        "with a word such as mask, label, gt or seg before or after it (1.png and 1_mask.png)."
    )


def silent(phase: str, done: int, total: int) -> None:
    """A progress callback that tells nobody."""
