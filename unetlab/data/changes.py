"""Changes to a stored data set: decisions changed, pictures added, replaced or left out, each time as a new version.

Runs that saw an older version keep it: its manifest stays in `versions/`, and a file replaced by a newer one of the
same name moves to `replaced/`.
"""

import os
import shutil
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Literal

from unetlab import files
from unetlab.data import cache, class_ids, filling
from unetlab.data.content_hash import content_hash
from unetlab.data.dataset import DataSet, open_folder, store_version
from unetlab.data.importing import (
    Progress,
    discard,
    refuse_errors,
    stage_into,
    staging_folder,
    working_on,
    workspace_of,
)
from unetlab.data.inspection import decide, examine, keep_used_only, make_report, read_arrival, write_arrival
from unetlab.data.labels.masks import Group, Survey
from unetlab.data.manifest import Manifest
from unetlab.errors import DataError


def revise(
    folder: Path, change: dict[str, Any] | None = None, *, reading: str | None = None, progress: Progress | None = None
) -> Manifest:
    """The set in `folder` after a decision was changed (see `inspection.decide`): a new version, or a new report.

    reading: a key of `readings.alternatives` instead. If the change would make a committed set unusable, the set stays
    as it is and DataError is raised; a staging folder takes any change.
    """
    with working_on(folder):
        return _revised(folder, change or {}, reading, progress)


def add_files(
    folder: Path, sources: Sequence[Path], *, masks: Path | None = None, progress: Progress | None = None
) -> Manifest:
    """The set with more files; a file replaces an older one of the same name. All or nothing.

    The pictures that were there keep their splits. Raises DataError like `revise` and `stage_into`.
    """
    arriving = staging_folder(workspace_of(folder))
    try:
        with working_on(arriving):
            stage_into(arriving, sources, masks=masks, progress=progress)
        with working_on(folder):
            arrival, merged = read_arrival(folder), _merge(arriving, folder)
            try:
                manifest = _revised(folder, {}, None, progress)
            except BaseException:
                _undo(folder, merged)
                write_arrival(folder, arrival)
                raise
            if manifest.created:  # before that, files that are still to come may speak of pictures
                added = {target.relative_to(folder / "originals").as_posix() for target, _ in merged}
                keep_used_only(folder, manifest, among=added)
            return manifest
    finally:
        discard(arriving)


def acknowledge(folder: Path, keys: Collection[str], *, is_right: bool = True) -> None:
    """Keeps that warnings, given by their `Finding.key`, need no change; or, not is_right, takes that back.

    Nothing is examined again, and the version stays.
    """
    with working_on(folder):
        manifest = open_folder(folder).manifest
        others = [key for key in manifest.choices.acknowledged if key not in keys]
        choices = manifest.choices.model_copy(update={"acknowledged": [*others, *(keys if is_right else ())]})
        manifest = manifest.model_copy(update={"choices": choices})
        if manifest.created:
            store_version(folder, manifest)
        else:
            files.write_atomic(folder / "manifest.json", manifest.model_dump_json(indent=1))


def update_classes(
    folder: Path,
    *,
    names: dict[int, str] | None = None,
    background: int | Literal["keep"] | None = "keep",
    ignored: int | Literal["keep"] | None = "keep",
) -> Manifest:
    """Renames classes, marks the background, or leaves one class out of loss and scores; the new manifest.

    All three take class ids as they are now. An ignored class leaves the list, the others close up, and its
    pixels become IGNORE; `ignored=None` brings it back as the last class. Raises DataError for an unknown id,
    a name that is empty or taken, and when fewer than two classes would be left.
    """
    dataset = open_folder(folder)
    manifest, old = dataset.manifest, dataset.reading
    known = {info.id for info in manifest.classes}
    for class_id in [*(names or {}), background, ignored]:
        if class_id not in {*known, None, "keep"}:
            raise DataError(f"'{dataset.name}' has no class {class_id}; its classes are 0 to {len(known) - 1}.")
    labels = [(names or {}).get(info.id, info.name).strip() for info in manifest.classes]
    if len(set(labels)) < len(labels) or not all(labels):
        raise DataError(f"Class names must differ and not be empty; given: {', '.join(map(repr, labels))}.")
    groups = [Group(name=label, values=group.values) for label, group in zip(labels, old.groups, strict=True)]
    marked = dataset.background if background == "keep" else background
    background_group = None if marked is None else groups[marked]
    ignored_group = old.ignored
    if ignored != "keep":
        if old.kind not in ("values", "nearest") and ignored is not None:
            raise DataError(f"Masks read as {old.key} have {len(groups)} classes, and all are needed.")
        returning = [] if old.ignored is None else [old.ignored]
        ignored_group = None if ignored is None else groups[ignored]
        groups = [group for group in groups if group is not ignored_group] + returning
        if len(groups) < 2:
            raise DataError(f"Without '{labels[ignored or 0]}' one class would be left; at least 2 are needed.")
    if background_group is not None and background_group is ignored_group:
        if background != "keep":
            raise DataError(f"'{background_group.name}' cannot be both the background and ignored.")
        background_group = None
    new_background = next((i for i, group in enumerate(groups) if group is background_group), None)
    reading = old.model_copy(update={"groups": groups, "ignored": ignored_group})
    return revise(folder, {"reading": reading.model_dump(), "background": new_background})


def survey_of(data: DataSet) -> Survey:
    """Every mask value of a data set, with its pixels."""
    return class_ids.survey_of(data.manifest.pairs, data.facts())


def changed_files(data: DataSet) -> list[str]:
    """Originals that are gone or have changed since the import; every file is read again to find out."""
    changed = []
    for file, key in dict.fromkeys(key for pair in data.manifest.pairs for key in pair.file_keys):
        path = data.folder / "originals" / file
        if not path.exists() or cache.digest(path.read_bytes()) != cache.digest_of(key):
            changed.append(file)
    return changed


def _revised(folder: Path, change: dict[str, Any], reading: str | None, progress: Progress | None) -> Manifest:
    before = open_folder(folder).manifest
    choices = decide(before.choices, change)
    if not before.created:
        return examine(folder, choices=choices, reading=reading, progress=progress)
    manifest = make_report(folder, choices=choices, reading=reading, progress=progress)
    refuse_errors(manifest)
    # compared as hashes are made today: an unchanged version keeps the name that an earlier unetlab gave it
    if manifest.content_hash == content_hash(before):
        manifest = manifest.model_copy(update={"content_hash": before.content_hash})
    else:
        manifest = manifest.model_copy(update={"version": before.version + 1})
    store_version(folder, manifest)
    return manifest


def _merge(arriving: Path, folder: Path) -> list[tuple[Path, Path | None]]:
    """Moves new originals in; (new file, where the file it replaced went), so that `_undo` can reverse it."""
    is_boxed, merged = read_arrival(folder).is_boxed, []
    arrival = read_arrival(arriving)
    for parent, _, names in os.walk(arriving / "originals"):
        for name in names:
            source = Path(parent) / name
            relative = source.relative_to(arriving / "originals")
            target = folder / "originals" / relative
            kept = None
            if target.exists():
                kept = folder / filling.REPLACED / f"{cache.digest(target.read_bytes())}{target.suffix}"
                kept.parent.mkdir(exist_ok=True)
                os.replace(target, kept)
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(source, target)
            merged.append((target, kept))
    if is_boxed and not arrival.is_boxed:
        before = read_arrival(folder)
        write_arrival(folder, before.model_copy(update={"is_boxed": False}))  # folder names still tell boxes apart
    return merged


def _undo(folder: Path, merged: Sequence[tuple[Path, Path | None]]) -> None:
    for target, kept in merged:
        target.unlink(missing_ok=True)
        if kept is not None:
            shutil.move(kept, target)
