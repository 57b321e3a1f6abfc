"""What a folder of files holds: pairs, mask values, findings, and a proposal for everything that has to be decided.

`examine` reads `originals/`, decodes what is new, and writes the whole report as `manifest.json`. It is called
again after every decision; nothing is decoded twice.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from unetlab import files
from unetlab.data.checks.pixel_look import PixelLook
from unetlab.data.decoding import Progress, decode_pairs
from unetlab.data.describing import describe
from unetlab.data.gathering import Gathered, gather
from unetlab.data.intake.archives import is_archive, is_unknown_archive
from unetlab.data.manifest import Choices, Finding, Intensities, Manifest, Pair
from unetlab.data.names.file_names import is_junk, natural_key
from unetlab.data.numbering import settle
from unetlab.data.originals import file_names, remove_unused
from unetlab.data.readers.images import is_picture, read_header
from unetlab.errors import DataError, UnreadableFile

NO_PAIR_YET = {"which-mask", "near-misses", "near-miss"}  # the same cause needs no second finding
PARTNERLESS = {"image-without-mask", "mask-without-image"}
SEVERITIES = ("error", "warning", "info")
MAX_REASONS = 3
MAX_OPENED = 1000  # files whose headers are read to see whether they are pictures; 1 s
UNDERSTOOD = (
    "Names that are understood: the same name in two folders (images/1.png and masks/1.png), or the same name with a "
    "word such as mask, label, gt or seg before or after it (1.png and 1_mask.png). Other pairs can be made by hand."
)
MAX_ENDINGS = 2
NO_PICTURES = (".md", ".pdf", ".html", ".py", ".ipynb", ".yaml", ".yml")
PACKED = (".gz", ".bz2", ".xz", ".zst")  # scan.nii.gz ends in .nii.gz


class Arrival(BaseModel):
    """How the files in `originals/` came: pictures and masks in boxes of their own, or all in one folder."""

    is_boxed: bool = False
    ignored_files: list[str] = []
    notes: list[str] = []  # what was not even copied, and why
    intensities: Intensities | None = None  # of a set that was handed on, which its models were trained with


def examine(
    folder: Path, *, choices: Choices | None = None, reading: str | None = None, progress: Progress | None = None
) -> Manifest:
    """The report on the files in `folder/originals/`, also written to `folder/manifest.json`.

    choices: what a person decided, by default what the last report had. reading: a key of
    `readings.alternatives`, or a parametrised one, to be chosen. progress: phases "decoding" and "counting
    classes"; what it raises ends the examination. Splits stay as they were unless the choices about them changed.
    Raises DataError for an unknown reading; everything else that is wrong becomes a finding.
    """
    manifest = make_report(folder, choices=choices, reading=reading, progress=progress)
    files.write_atomic(folder / "manifest.json", manifest.model_dump_json(indent=1))
    return manifest


def make_report(
    folder: Path, *, choices: Choices | None = None, reading: str | None = None, progress: Progress | None = None
) -> Manifest:
    """As `examine`, without writing the report."""
    progress = progress or silent
    before = stored_report(folder)
    choices = choices or (before.choices if before else Choices())
    arrival = read_arrival(folder)
    gathered = gather(folder, file_names(folder), choices, is_boxed=arrival.is_boxed, ignored=arrival.ignored_files)
    findings = [Finding(code="left-behind", message=note) for note in arrival.notes] + gathered.findings
    pairs, store, facts = decode_pairs(folder, gathered.pairs, choices, findings, progress)
    is_asked = any(finding.code in NO_PAIR_YET and finding.severity == "error" for finding in findings)
    if len(pairs) < 2 and not (is_asked and not pairs):
        told = _too_few(folder, gathered, findings, len(pairs))
        if told.code == "no-pairs":
            findings[:] = [finding for finding in findings if finding.code not in PARTNERLESS]
        findings.append(told)
    manifest = Manifest(
        name=before.name if before else folder.name,
        created=before.created if before else "",
        version=before.version if before else 1,
        note=before.note if before else "",
        layout=gathered.pairing.layout,
        choices=choices,
        findings=findings,
        unmatched_images=gathered.pairing.unmatched_images,
        unmatched_masks=gathered.pairing.unmatched_masks,
        ignored_files=gathered.pairing.ignored_files,
    )
    if pairs:
        is_kept = before is not None and bool(before.created) and _has_all(before, pairs)
        numbered = settle(pairs, gathered, facts, chosen=choices.class_file, is_kept=is_kept)
        manifest.findings += numbered.findings
        manifest.ignored_files = sorted({*manifest.ignored_files, *numbered.unused}, key=natural_key)
        manifest = describe(
            manifest,
            numbered.pairs,
            store,
            facts,
            class_file=numbered.class_file,
            reading=reading or (None if choices.reading else gathered.reading),
            before=before,
            intensities=before.intensities if before and before.created else arrival.intensities,
            progress=progress,
        )
    manifest.findings.sort(key=lambda finding: SEVERITIES.index(finding.severity))
    return manifest


def stored_report(folder: Path) -> Manifest | None:
    """The report of an earlier examination, or None."""
    try:
        return Manifest.model_validate(files.read_json(folder / "manifest.json"))
    except (OSError, ValueError):
        return None


def decide(choices: Choices, change: dict[str, Any]) -> Choices:
    """The choices after a click: lists grow by what is new (None empties them), everything else is replaced.

    The last word on a picture counts: a pair made by hand replaces an older one that shares a file with it and
    joins again what was taken apart, and the other way round. `included` takes pictures out of `excluded`.
    Raises DataError for a choice that is not allowed.
    """
    values = choices.model_dump()
    for key, value in change.items():
        if key == "included":
            values["excluded"] = [name for name in values["excluded"] if name not in value]
        elif isinstance(values.get(key), list) and value is not None:
            new = [tuple(item) if isinstance(item, list) else item for item in value]
            values[key] = [*(item for item in values[key] if item not in new), *new]
        else:
            values[key] = [] if value is None and isinstance(values.get(key), list) else value
    new = [tuple(pair) for pair in change.get("pairs") or ()]
    if new:
        files = {file for pair in new for file in pair}
        values["pairs"] = [pair for pair in values["pairs"] if pair in new or not files.intersection(pair)]
        values["apart"] = [pair for pair in values["apart"] if pair not in new]
    parted = [tuple(pair) for pair in change.get("apart") or ()]
    values["pairs"] = [pair for pair in values["pairs"] if tuple(pair) not in parted]
    try:
        return Choices.model_validate(values)
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(str(part) for part in problem["loc"])
        raise DataError(f"The choice {key} = {problem['input']!r} is not allowed: {problem['msg']}.") from None


def read_arrival(folder: Path) -> Arrival:
    """How the files of a folder came."""
    path = folder / "arrival.json"
    return Arrival.model_validate(files.read_json(path)) if path.exists() else Arrival()


def write_arrival(folder: Path, arrival: Arrival) -> None:
    """Keeps how the files of a folder came."""
    files.write_json(folder / "arrival.json", arrival.model_dump())


def keep_used_only(folder: Path, manifest: Manifest, *, among: Collection[str] | None = None) -> None:
    """Deletes files (of the names `among`) that nothing was read from; they count as not copied from then on."""
    removed = remove_unused(folder, manifest, among=among)
    if removed:
        arrival = read_arrival(folder)
        arrival.ignored_files = sorted({*arrival.ignored_files, *removed})
        write_arrival(folder, arrival)


def silent(phase: str, done: int, total: int) -> None:
    """A progress callback that tells nobody."""


def _has_all(before: Manifest, pairs: Sequence[Pair]) -> bool:
    return {(pair.image, pair.mask) for pair in pairs} <= {(pair.image, pair.mask) for pair in before.pairs}


def _too_few(folder: Path, gathered: Gathered, findings: Sequence[Finding], count: int) -> Finding:
    reasons = [finding.message for finding in findings if finding.severity != "info"]
    told = "".join(f"\n  {reason}" for reason in reasons[:MAX_REASONS])
    more = f"\n  ... and {len(reasons) - MAX_REASONS} more" if len(reasons) > MAX_REASONS else ""
    if gathered.pairs:
        found = "There is one usable pair" if count else "There is no usable pair"
        message = (
            f"{found} of picture and mask; at least 2 are needed, one to train on and one to validate.{told}{more}"
        )
        return Finding(code="too-few", severity="error", message=message, advice="" if reasons else "Add more pairs.")

    return _no_pairs(folder / "originals", gathered)


def _no_pairs(originals: Path, gathered: Gathered) -> Finding:
    """The error that there is no pair; its second line says what is not read, its `files` are those that can be."""
    pairing = gathered.pairing
    files = [*pairing.unmatched_images, *pairing.unmatched_masks]
    broken = {name: reason for name in files[:MAX_OPENED] if (reason := _unreadable(originals / name))}
    told = [*filter(None, [_unread(pairing.ignored_files)]), *[*broken.values()][:MAX_REASONS]]
    unread = "\n" + " ".join(told) if told else ""
    together: list[str] = []
    if len(broken) == len(files):
        message = f"There is no picture that can be read.{unread}"
        advice = "" if broken else "PNG, JPEG, TIFF, BMP, GIF and WebP are read."  # a broken file's reason says it
    else:
        readable = [
            [name for name in box if name not in broken] for box in (pairing.unmatched_images, pairing.unmatched_masks)
        ]
        message = f"No picture has a mask. Pictures: {_listed(readable[0])}. Masks: {_listed(readable[1])}.{unread}"
        advice = UNDERSTOOD
        if not all(readable) and (together := PixelLook(originals).picture_and_mask([*readable[0], *readable[1]])):
            message = (
                f"Pictures and masks are here, such as {' and '.join(together)}, but their names do not tell which "
                f"belong together.{unread}"
            )
    return Finding(
        code="no-pairs",
        severity="error",
        message=message,
        advice=advice,
        files=[name for name in files if name not in broken],
        together=[together] if together else [],
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "") if names else "none"


def _unreadable(path: Path) -> str:
    try:
        read_header(path)
    except UnreadableFile as error:
        return str(error)
    return ""


def _unread(ignored: Sequence[str]) -> str:
    """A sentence on the commonest endings of files that may be pictures but are not read; "" without any."""
    known = (is_junk, is_picture, is_archive, is_unknown_archive)
    suffixes = [Path(name.lower()).suffixes for name in ignored if not any(is_known(name) for is_known in known)]
    endings = Counter("".join(each[-2:] if each[-1] in PACKED else each[-1:]) for each in suffixes if each)
    for ending in NO_PICTURES:
        endings.pop(ending, None)
    if endings[".txt"] == 1:  # a list or a note: outlines come in one text a picture
        endings.pop(".txt")
    told = [
        f"{count} file{'s' if count > 1 else ''} ending in {ending}"
        for ending, count in endings.most_common(MAX_ENDINGS)
    ]
    is_one = len(told) == 1 and endings.total() == 1
    what = "is not read: export it" if is_one else "are not read: export them"
    return f"{' and '.join(told)} {what} as PNG or TIFF." if told else ""
