"""One numbering of the classes for a set whose class files number them otherwise from folder to folder.

Classes are mapped by name; where names do not tell, a person is asked.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from unetlab.data.cache import Facts
from unetlab.data.checks.findings import counted, listed
from unetlab.data.class_ids import survey_of
from unetlab.data.gathering import Gathered
from unetlab.data.labels.class_files import BACKGROUND_NAMES, ClassFile, is_class_file
from unetlab.data.labels.class_folders import says_the_same
from unetlab.data.labels.masks import Reading, label_of
from unetlab.data.labels.renumbering import PARTS
from unetlab.data.labels.strays import known_names
from unetlab.data.labels.surveys import Part, counts_of
from unetlab.data.manifest import Finding, Fix, Pair
from unetlab.data.names.file_names import fold

Names = dict[int, str]  # of mask values, folded so that they can be compared


class _Unclear(Exception):
    """Why names do not tell which class a mask value is, as a sentence."""


@dataclass
class Numbering:
    """The pairs, with `renumbered` where their masks need it, and what else follows from the class files.

    class_file: the one that names the classes of all pairs. unused: class files that say nothing about them.
    """

    pairs: list[Pair]
    class_file: ClassFile | None
    findings: list[Finding]
    unused: list[str]


def settle(
    pairs: Sequence[Pair], gathered: Gathered, facts: Mapping[str, Facts], *, chosen: str | None, is_kept: bool
) -> Numbering:
    """One numbering for all pairs. chosen: the class file that holds for all of them, as a person said.

    Where names do not tell, nothing is renumbered, and a finding asks which class file holds for all: an error, or a
    warning for a set that is kept already with just these pairs (`is_kept`).
    """
    files: list[ClassFile] = [file for file in gathered.class_files if file.file == chosen]
    if files:
        found = Numbering(list(pairs), files[0], [], [])
    else:
        for pair in pairs:
            files += [file for file in gathered.speaking[pair.mask] if not any(file is other for other in files)]
        files.sort(key=lambda file: file.file)
        try:
            found = _by_name(pairs, gathered.speaking, files, facts)
        except _Unclear as unclear:
            found = Numbering(list(pairs), files[0], [_question(files, str(unclear), is_kept=is_kept)], [])
            files = files[:1]
    others = [file for file in gathered.class_files if not any(says_the_same(file, used) for used in files)]
    found.unused = [file.file for file in others]
    is_drawn = not any(file is found.class_file for file in gathered.class_files)
    if others and found.class_file and not found.findings and not is_drawn:  # drawn masks have numbers of their own
        found.findings.append(_about_others(others, found.class_file, is_chosen=found.class_file.file == chosen))
    return found


def _question(files: Sequence[ClassFile], problem: str, *, is_kept: bool) -> Finding:
    return Finding(
        code="class-file",
        severity="warning" if is_kept else "error",
        message=f"The class files do not go together: {problem}" + (f" {files[0].file} is used." if is_kept else ""),
        effect="Masks whose numbers stand for other classes teach the wrong thing.",
        advice="Use the same names in all class files, each beside its masks, or choose one that holds for all masks.",
        files=[file.file for file in files],
        fixes=_one_for_all(files),
    )


def _about_others(others: Sequence[ClassFile], used: ClassFile, *, is_chosen: bool) -> Finding:
    named, why = listed([file.file for file in others], 3), "as you said" if is_chosen else "being nearest to them"
    back = Fix(label="Each class file holds for the masks beside it", change={"class_file": None})
    return Finding(
        code="class-file",
        severity="info" if is_chosen else "warning",
        message=f"{used.file} names the classes of all masks, {why}; what {named} says otherwise is not used.",
        files=[file.file for file in others],
        fixes=[back] if is_chosen else [],
    )


def not_mapped(pairs: Sequence[Pair], reading: Reading, part: Part, findings: Sequence[Finding]) -> list[Finding]:
    """An error where masks are renumbered, in values of `part`, and a reading was chosen that goes by brightness."""
    swaps = {swap for pair in pairs for swap in pair.renumbered.items()}
    level = reading.threshold if reading.kind == "threshold" else None
    is_across = level is not None and any((value > level) != (meant > level) for value, meant in swaps)
    if not swaps or (reading.part == part and not is_across):
        return []
    return [
        Finding(
            code="class-file",
            severity="error",
            message="Class files number the classes differently from folder to folder, and masks read as "
            f"{reading.key} have no numbers.",
            advice="Read the masks by their values, or choose one class file that holds for all masks.",
            fixes=[fix for finding in findings if finding.code == "class-numbers" for fix in finding.fixes],
        )
    ]


def _by_name(
    pairs: Sequence[Pair], said: Mapping[str, Sequence[ClassFile]], files: list[ClassFile], facts: Mapping[str, Facts]
) -> Numbering:
    if len(files) < 2:
        return Numbering(list(pairs), files[0] if files else None, [], [])
    whole = survey_of(pairs, facts)
    names = {file.file: _folded(known_names(whole, file)) for file in files}
    of_file: dict[str, list[Pair]] = {file.file: [] for file in files}
    unclear: list[Pair] = []
    for pair in pairs:
        candidates = [file.file for file in said.get(pair.mask, ())]
        fitting = [file for file in candidates if names[file]] if len(candidates) > 1 else candidates
        (of_file[fitting[0]] if len(fitting) == 1 else unclear).append(pair)
    for file in files:  # numbers of one folder only
        own = survey_of(of_file[file.file], facts) if not names[file.file] and of_file[file.file] else whole
        if own is not whole and own.part == whole.part:
            names[file.file] = _folded(known_names(own, file))
    if not any(names.values()):  # they speak of other masks, which is said once the masks are read
        return Numbering(list(pairs), files[0], [], [])
    if unclear:
        told = listed([file.file for file in said.get(unclear[0].mask, ())], 3)
        raise _Unclear(f"{counted(len(unclear), 'mask')} such as {unclear[0].mask} may mean any of {told}.")
    used = [file for file in files if of_file[file.file]]
    leading = _leading(used, names)
    found: dict[str, dict[int, int]] = {}
    for file in used:
        counts = [counts_of(facts[pair.mask_key], whole.part) for pair in of_file[file.file]]  # type: ignore[arg-type]
        values = sorted({value for each in counts for value in each})
        found[file.file] = _renumbered(names[file.file], names[leading.file], values, file.file, leading.file)
    renumbered = {
        pair.mask: found[file] for file, its_pairs in of_file.items() for pair in its_pairs if found.get(file)
    }
    if not renumbered:
        return Numbering(list(pairs), leading, [], [])
    if whole.part not in PARTS or whole.is_capped:
        raise _Unclear(
            "they number the classes differently, and the masks hold too many values to tell which is meant."
        )
    changed = [pair.model_copy(update={"renumbered": renumbered.get(pair.mask, {})}) for pair in pairs]
    survey = survey_of(changed, facts)
    named = _folded(known_names(survey, leading))
    is_true = all(
        named.get(found[file.file].get(value, value)) == name
        for file in used
        for value, name in names[file.file].items()
        if value in found[file.file]
    )
    if survey.part != whole.part or not is_true:
        raise _Unclear(f"the values of the masks do not fit the numbers in {listed([file.file for file in used], 3)}.")
    told = [_told(file, leading, found[file.file], names, whole.part, len(of_file[file.file])) for file in used]
    message = " ".join(sentence for sentence in told if sentence)
    finding = Finding(
        code="class-numbers",
        severity="info",
        message=f"{message} They are mapped by name.",
        advice="Look at the overlays.",
        files=[file.file for file in used],
        fixes=_one_for_all(used),
    )
    return Numbering(changed, leading, [finding], [])


def _leading(used: Sequence[ClassFile], names: Mapping[str, Names]) -> ClassFile:
    """The first class file that has the names of all others."""
    for file in used:
        if all(set(names[other.file].values()) <= set(names[file.file].values()) for other in used):
            return file
    first = used[0]
    for other in used[1:]:
        alone = [name for name in names[other.file].values() if name not in names[first.file].values()]
        if not names[other.file]:
            raise _Unclear(f"{other.file} does not fit the values of its masks.")
        if alone:
            raise _Unclear(f"{other.file} has {listed([repr(name) for name in alone], 3)}, which {first.file} has not.")
    raise _Unclear(f"none of {listed([file.file for file in used], 3)} has the names of all.")


def _renumbered(own: Names, leading: Names, values: Sequence[int], file: str, leader: str) -> dict[int, int]:
    """Which value of the leading file each of these values of masks is, where it is another one."""
    found: dict[int, int] = {}
    for value in values:
        name = own.get(value)
        if name is None and value not in leading:
            continue  # no class in either of them
        meant = [number for number, other in leading.items() if other == name]
        if value in meant:
            continue
        if len(meant) != 1:
            raise _Unclear(
                f"the value {value} in the masks of {file} has no name there, and is '{leading[value]}' in {leader}."
                if name is None
                else f"'{name}' stands in {leader} {len(meant)} times."
            )
        found[value] = meant[0]
    return found


def _told(
    file: ClassFile, leading: ClassFile, found: Mapping[int, int], names: Mapping[str, Names], part: Part, count: int
) -> str:
    if not found:
        return ""
    value = next(iter(found))
    other = names[leading.file].get(value)
    here = f" and '{other}' in {leading.file}" if other else f", which {leading.file} does not have"
    label = label_of(value, part)
    return (
        f"{file.file} numbers the classes of its {counted(count, 'mask')} otherwise: {label} is "
        f"'{names[file.file][value]}' there{here}."
    )


def _one_for_all(files: Sequence[ClassFile]) -> list[Fix]:
    return [
        Fix(label=f"{file.file} holds for all masks", change={"class_file": file.file})
        for file in files
        if is_class_file(file.file)  # not the annotations that masks were drawn from
    ]


def _folded(names: Mapping[int, str]) -> Names:
    """Names that can be compared: without case and spaces around them, and the background under one name."""
    folded = {value: fold(name).strip() for value, name in names.items()}
    return {value: "background" if name in BACKGROUND_NAMES else name for value, name in folded.items()}
