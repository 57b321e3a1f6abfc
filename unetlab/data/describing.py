"""From decoded pairs to the rest of the manifest: classes, split, intensities, what was decided and found."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from unetlab.data import class_ids, numbering
from unetlab.data.cache import Facts, Store, first_key
from unetlab.data.checks import sequences, split
from unetlab.data.checks.audit import audit, looks_swapped
from unetlab.data.checks.findings import num_counting
from unetlab.data.checks.pairing_findings import swapped
from unetlab.data.content_hash import content_hash
from unetlab.data.decoding import Progress
from unetlab.data.in_threads import in_order
from unetlab.data.labels import masks, readings
from unetlab.data.labels.class_files import ClassFile
from unetlab.data.labels.classes import choose_background, class_infos, shown_values
from unetlab.data.labels.masks import Reading
from unetlab.data.labels.reading_words import kind_of, without_counts
from unetlab.data.labels.strays import known_names
from unetlab.data.labels.surveys import Survey
from unetlab.data.manifest import Choices, Finding, Fix, Intensities, Manifest, Pair
from unetlab.data.names.name_words import Split
from unetlab.data.readers.facts import ImageFacts
from unetlab.errors import DataError

SAMPLED_IMAGES, SAMPLED_PIXELS = 256, 16_384  # of deep pictures: percentiles settle long before that
LOW_PERCENT, HIGH_PERCENT = 0.5, 99.5  # a few hot or dead pixels must not set the contrast of a 16-bit set
MAX_OTHERS = 12  # other readings offered as a click; the page lists all


def describe(
    manifest: Manifest,
    pairs: Sequence[Pair],
    store: Store,
    facts: Mapping[str, Facts],
    *,
    class_file: ClassFile | None,
    reading: str | None,
    before: Manifest | None,
    intensities: Intensities | None,
    progress: Progress,
) -> Manifest:
    """The manifest with everything that follows from its pairs and choices; findings are added to those it has.

    reading: a key that was just chosen. before: the report before this one, whose splits stay. intensities: those that
    models may have been trained with, which stay too.
    Raises DataError for an unknown reading.
    """
    choices, findings = manifest.choices, list(manifest.findings)
    survey = class_ids.survey_of(pairs, facts)
    image_facts, mask_facts = [facts[pair.image_key] for pair in pairs], [facts[pair.mask_key] for pair in pairs]
    codes = {finding.code for finding in findings}
    is_told = "swapped" in codes or ("which-mask" in codes and choices.mask_kind is not None)  # which has a switch
    if not is_told and looks_swapped(image_facts, mask_facts):  # type: ignore[arg-type]
        findings.append(
            swapped(
                f"What was given as pictures looks like masks ({pairs[0].image}), and what was given as masks looks "
                f"like photographs ({pairs[0].mask}).",
                (pairs[0].image, pairs[0].mask),
            )
        )
    if any(finding.code == "swapped" and finding.severity == "error" for finding in findings):
        return manifest.model_copy(update={"pairs": list(pairs), "findings": findings})  # photographs are no masks
    if reading is not None:
        choices = choices.model_copy(update={"reading": readings.read_as(survey, reading, class_file)})
    try:
        chosen, told = _reading(survey, class_file, choices)
    except DataError as error:  # one value in all masks
        files = [pair.mask for pair in pairs]
        findings.append(Finding(code="one-value", severity="error", message=str(error), files=files))
        return manifest.model_copy(update={"pairs": list(pairs), "findings": findings})
    findings += [*told, *numbering.not_mapped(pairs, chosen, survey.part, findings)]
    if class_file and not known_names(survey, class_file):
        message = f"The {len(class_file.names)} classes of {class_file.file} do not fit the mask values; not used."
        findings.append(Finding(code="class-file", message=message, files=[class_file.file]))
    counts = _class_pixels(chosen, pairs, store, facts, progress)
    pixels = np.sum(counts, axis=0).tolist()
    background, why = choose_background(chosen, pixels)
    if choices.background != "proposed" and (choices.background is None or choices.background < len(pixels)):
        background, why = choices.background, "The background is the one you chose."
    classes = class_infos(chosen, pixels, background=background, palette=survey.own_colours)
    decisions = [f"Masks: {chosen.meaning}.", *chosen.reasons, why]
    ignored = [*(chosen.ignored.values if chosen.ignored else []), *chosen.strays]
    num_ignored = sum(map(num_counting, pairs, image_facts)) - sum(pixels)  # type: ignore[arg-type]
    if ignored and num_ignored:
        decisions.append(_about_ignored(chosen, ignored, num_ignored))
    splits, how = _splits(pairs, choices, before)
    decisions.append(how)
    described = [
        pair.model_copy(update={"split": side, "class_pixels": count})
        for pair, side, count in zip(pairs, splits, counts, strict=True)
    ]
    is_given = any(side in ("valid", "test") for side in split.to_keep([pair.given_split for pair in pairs]))
    known = {finding.code for finding in findings}
    audited = audit(
        described,
        image_facts,  # type: ignore[arg-type]
        mask_facts,  # type: ignore[arg-type]
        counts,
        classes,
        choices,
        is_given_split=is_given,
        swapped=class_ids.swapped_masks(chosen, described, store),
    )
    findings += [finding for finding in audited if finding.code not in known]  # too few: told with the reasons before
    manifest = manifest.model_copy(
        update={
            **_intensities(described, store, facts, None if _is_reread(described, before) else intensities),
            "choices": choices,
            "classes": classes,
            "reading": chosen,
            "class_file": class_file,
            "ignored_pixels": num_ignored,
            "ignored_values": shown_values(chosen, ignored),
            "pairs": described,
            "is_given_split": is_given,
            "findings": findings,
            "decisions": decisions,
        }
    )
    return manifest.model_copy(update={"content_hash": content_hash(manifest)})


def to_channels(image: np.ndarray, channels: int, bits: int) -> np.ndarray:
    """A decoded picture (H,W,C) as its set has it: grey repeated for RGB, 8 bits spread over 16 beside deeper ones."""
    if bits == 16 and image.dtype == np.uint8:
        image = image.astype(np.uint16) * 257  # 255 becomes 65535
    return np.repeat(image, channels, axis=2) if image.shape[2] == 1 and channels > 1 else image


def _reading(survey: Survey, class_file: ClassFile | None, choices: Choices) -> tuple[Reading, list[Finding]]:
    """The reading in force, and what has to be said about it with the others as clicks."""
    proposal = readings.propose(survey, class_file)
    others = readings.alternatives(survey, class_file)
    if choices.reading is None:
        if proposal.is_certain and proposal.reading.kind == "values":
            return proposal.reading, []
        message = proposal.doubt or f"The masks are read like this: {proposal.reading.meaning}. {proposal.reasons[0]}"
        doubt = Finding(
            code="reading",
            message=message,
            effect="Pixels with a wrong class teach the wrong thing.",
            advice="Choose another reading if this one is not meant.",
            fixes=_as_fixes([other for other in others if other.key != proposal.reading.key]),
        )
        return proposal.reading, [doubt]
    chosen = choices.reading.model_copy(update={"meaning": without_counts(choices.reading.meaning)})
    known = {value for group in [*chosen.groups, chosen.ignored] if group for value in group.values} | {*chosen.strays}
    new = [value for value in survey.pixels if value not in known]
    if chosen.kind == "values" and new:
        listed = ", ".join(masks.label_of(value, chosen.part) for value in new[:5]) + (" ..." if len(new) > 5 else "")
        count = sum(survey.pixels[value] for value in new)
        message = (
            f"The masks hold {kind_of(chosen.part)} that the chosen reading does not know: {listed} ({count:,} pixels)."
        )
        fixes = _as_fixes([proposal.reading])
        return chosen, [Finding(code="unknown-values", message=message, effect="They are ignored.", fixes=fixes)]
    return chosen, []


def _as_fixes(found: Sequence[Reading]) -> list[Fix]:
    return [
        Fix(label=f"{other.meaning[0].upper()}{other.meaning[1:]}", change={"reading": other.model_dump()})
        for other in found[:MAX_OTHERS]
    ]


def _about_ignored(reading: Reading, values: Sequence[int], num_pixels: int) -> str:
    named = f"'{reading.ignored.name}'" if reading.ignored else ", ".join(map(str, shown_values(reading, values)))
    return f"{num_pixels:,} mask pixels of {named} are ignored: they count neither in the loss nor in scores."


def _class_pixels(
    reading: Reading, pairs: Sequence[Pair], store: Store, facts: Mapping[str, Facts], progress: Progress
) -> list[list[int]]:
    """Pixels of each class in each mask that is in use."""

    def count(pair: Pair) -> list[int]:
        return class_ids.class_pixels(pair, reading, store, facts[pair.mask_key])  # type: ignore[arg-type]

    found = []
    for done, counts in enumerate(in_order(count, pairs, chunk=32), start=1):
        found.append(counts)
        progress("counting classes", done, len(pairs))
    return found


def _splits(pairs: Sequence[Pair], choices: Choices, before: Manifest | None) -> tuple[list, str]:
    """The split of each pair; those of a stored set stay unless the choices about the split changed.

    Before a set is stored no run has seen its split: it is made anew with each report, so that it keeps its share.
    """
    names = [pair.name for pair in pairs]
    given = split.to_keep([pair.given_split for pair in pairs])
    groups = sequences.group_by_sequence(names) if choices.grouping == "sequence" else None
    kept = ("valid_fraction", "seed", "grouping")
    is_kept = before is not None and all(getattr(before.choices, key) == getattr(choices, key) for key in kept)
    is_handed_on = before is not None and not before.content_hash and not before.findings  # splits and choices alone
    stored = before.pairs if before is not None and is_kept and (before.created or is_handed_on) else []
    sides: dict[tuple[str, int], Split] = {(pair.image, pair.page): pair.split for pair in stored}
    existing: dict[str, Split] = {
        pair.name: sides[pair.image, pair.page] for pair in pairs if (pair.image, pair.page) in sides
    }
    try:
        found = split.assign(
            names,
            valid_fraction=choices.valid_fraction,
            seed=choices.seed,
            given=given,
            existing=existing,
            groups=groups,
        )
    except DataError:  # too few pictures: the audit says so
        return ["train"] * len(pairs), "There is no split yet."
    if any(side in ("valid", "test") for side in given):
        return found, "Split: as the folders or lists give it."
    together = ", neighbouring frames together" if groups else ""
    share = split.share_in_words(found, choices.valid_fraction, is_grouped=bool(groups))
    return found, f"Split: {share}, at random (seed {choices.seed}){together}."


def _intensities(
    pairs: Sequence[Pair], store: Store, facts: Mapping[str, Facts], known: Intensities | None
) -> dict[str, Any]:
    """channels, bits, low, high, mean and std of the set: those that are known, if they are of such pictures."""
    entries = [store.entries[pair.image_key] for pair in pairs]
    channels = max(entry.channels for entry in entries)
    bits = 8 * max(np.dtype(entry.dtype).itemsize for entry in entries)
    if known is not None and (known.channels, known.bits) == (channels, bits):
        return known.model_dump()
    training = [pair for pair in pairs if pair.split == "train"] or list(pairs)
    if bits == 8:
        low, high = np.zeros(channels), np.full(channels, 255.0)
        mean, square = _moments([facts[pair.image_key] for pair in training], training, channels)  # type: ignore[misc]
    else:
        places = np.unique(np.linspace(0, len(training) - 1, SAMPLED_IMAGES).astype(int))
        sample = partial(_sample, store=store, channels=channels, bits=bits)
        values = np.concatenate(list(in_order(sample, [training[place] for place in places])))
        values = values if len(values) else np.zeros((1, channels))  # nothing was measured anywhere
        low, high = np.percentile(values, (LOW_PERCENT, HIGH_PERCENT), axis=0)
        high = np.where(high > low, high, low + 1)
        values = np.clip((values - low) / (high - low), 0, 1)
        mean, square = values.mean(axis=0), (values**2).mean(axis=0)
    std = np.sqrt(np.maximum(square - mean**2, 0))
    std = np.where(std < 1e-3, 1.0, std)  # a constant channel is only shifted
    numbers = {"low": low, "high": high, "mean": mean, "std": std}
    return {"channels": channels, "bits": bits, **{name: value.tolist() for name, value in numbers.items()}}


def _is_reread(pairs: Sequence[Pair], before: Manifest | None) -> bool:
    """True where a picture gives other pixels than when the set was imported, though its file is the same."""
    known = {pair.image_key for pair in before.pairs} if before else set()
    return any(pair.image_key not in known and first_key(pair.image_key) in known for pair in pairs)


def _moments(facts: Sequence[ImageFacts], pairs: Sequence[Pair], channels: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean of x and of x squared over all pixels in 0..1, per channel, from what was measured of each picture."""
    areas = [pair.height * pair.width - fact.num_invalid for pair, fact in zip(pairs, facts, strict=True)]
    weights = np.array(areas if any(areas) else [1] * len(areas), np.float64)
    mean = np.array([np.broadcast_to(fact.mean, channels) for fact in facts]) / 255
    std = np.array([np.broadcast_to(fact.std, channels) for fact in facts]) / 255
    return np.average(mean, axis=0, weights=weights), np.average(mean**2 + std**2, axis=0, weights=weights)


def _sample(pair: Pair, *, store: Store, channels: int, bits: int) -> np.ndarray:
    """At most SAMPLED_PIXELS measured pixels of a picture as float64 (N,C), spread evenly over it."""
    pixels = to_channels(store.pixels(pair.image_key), channels, bits).reshape(-1, channels)
    filled = store.filled(pair.image_key)
    pixels = pixels if filled is None else pixels[~filled.ravel()]
    return pixels[:: max(1, -(-len(pixels) // SAMPLED_PIXELS))].astype(np.float64)
