"""`python -m unetlab data ...`: import, check, change and export data sets. No torch here."""

from pathlib import Path
from typing import Annotated, Any

import typer

from unetlab import files
from unetlab.config import RunConfig
from unetlab.console import exit_for, follow, import_progress, show, show_manifest
from unetlab.data import changes, importing, portable, samples
from unetlab.data.dataset import list_datasets, open_dataset
from unetlab.data.inspection import decide, stored_report
from unetlab.data.labels import readings
from unetlab.data.manifest import Choices
from unetlab.errors import DataError
from unetlab.options import ImportOptions
from unetlab.runs import jobs
from unetlab.workspace import own_workspace

data_app = typer.Typer(no_args_is_help=True, help="Pictures and masks: import, look at, change, list, export.")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
Sources = Annotated[list[Path], typer.Argument(help="Files, folders or archives with pictures (and masks).")]
Masks = Annotated[Path | None, typer.Option(help="Folder, archive or file with the masks, if they are separate.")]
ClassFileName = Annotated[
    str | None, typer.Option("--class-file", help="Which class file holds for all masks, where several disagree.")
]
ReadingKey = Annotated[
    str | None, typer.Option("--reading", help="How to read the mask values; `data check` lists the readings that fit.")
]


@data_app.command("sample")
def data_sample(json: Json = False) -> None:
    """Make the built-in sample: synthetic fluorescence nuclei."""
    show_manifest(samples.create_sample(own_workspace()), as_json=json)


@data_app.command("import")
def data_import(
    sources: Sources,
    name: Annotated[str, typer.Option(help="Name of the data set.")],
    masks: Masks = None,
    reading: ReadingKey = None,
    valid_fraction: Annotated[float | None, typer.Option(help="Share kept for validation (default: 0.2).")] = None,
    pages: Annotated[str | None, typer.Option(help="Of files with several pages: first, or each.")] = None,
    mask_kind: Annotated[str | None, typer.Option(help="Which file is the mask, where several fit a picture.")] = None,
    picture_kind: Annotated[str | None, typer.Option(help="Which file is then the picture, if that is open.")] = None,
    class_file: ClassFileName = None,
    swap: Annotated[bool, typer.Option("--swap", help="Pictures and masks are swapped.")] = False,
    json: Json = False,
) -> None:
    """Import image/mask pairs, all or nothing. The output says what was proposed and decided."""
    workspace = own_workspace()
    importing.free_folder(workspace, name)  # before a worker is started
    importing.sweep_staging(workspace)
    choices = given_of(
        valid_fraction=valid_fraction,
        pages=pages,
        mask_kind=mask_kind,
        picture_kind=picture_kind,
        class_file=class_file,
        is_swapped=True if swap else None,
    )
    folder = importing.staging_folder(workspace)
    options = ImportOptions(
        sources=[str(source.resolve()) for source in sources],
        masks=str(masks.resolve()) if masks else None,
        folder=folder.name,
        name=name,
        reading=reading,
        choices=choices,
    )
    run = jobs.start(workspace, RunConfig(kind="import", dataset="", importing=options))
    status = follow(run)
    exit_for(status, as_json=json)
    if status.state == "stopped":
        raise DataError("The import was stopped; nothing of it is kept.")
    report = stored_report(folder)
    if report is not None:  # it could not be committed
        importing.discard(folder)
        importing.refuse_errors(report)
    show_manifest(open_dataset(workspace, name).manifest, as_json=json)


@data_app.command("add")
def data_add(name: str, sources: Sources, masks: Masks = None, json: Json = False) -> None:
    """Add pairs to a data set, or replace those of the same names. Makes a new version; earlier runs keep theirs."""
    with import_progress() as progress:
        manifest = changes.add_files(
            open_dataset(own_workspace(), name).folder, sources, masks=masks, progress=progress
        )
    show_manifest(manifest, as_json=json)


@data_app.command("change")
def data_change(
    name: str,
    reading: ReadingKey = None,
    exclude: Annotated[list[str], typer.Option(help="A pair to leave out; may be given several times.")] = [],
    include_all: Annotated[bool, typer.Option("--include-all", help="Include every pair that was left out.")] = False,
    pages: Annotated[str | None, typer.Option(help="Of files with several pages: first, or each.")] = None,
    mask_kind: Annotated[str | None, typer.Option(help="Which file is the mask, where several fit a picture.")] = None,
    picture_kind: Annotated[str | None, typer.Option(help="Which file is then the picture, if that is open.")] = None,
    class_file: ClassFileName = None,
    grouping: Annotated[str | None, typer.Option(help="sequence (neighbouring frames stay together) or none.")] = None,
    valid_fraction: Annotated[float | None, typer.Option(help="Split again with this share for validation.")] = None,
    seed: Annotated[int | None, typer.Option(help="Split again with this seed.")] = None,
    json: Json = False,
) -> None:
    """Change decisions about a data set. Makes a new version; earlier runs keep theirs."""
    data = open_dataset(own_workspace(), name)
    by_name = {pair.name: pair.image for pair in data.manifest.pairs} | {p.image: p.image for p in data.manifest.pairs}
    unknown = [pair for pair in exclude if pair not in by_name]
    if unknown:
        raise DataError(f"'{name}' has no pair {unknown[0]!r}. Pairs are such as {next(iter(by_name))!r}.")
    change = given_of(
        pages=pages,
        mask_kind=mask_kind,
        picture_kind=picture_kind,
        class_file=class_file,
        grouping=grouping,
        seed=seed,
        valid_fraction=valid_fraction,
    )
    if include_all:
        change["excluded"] = None
    elif exclude:
        change["excluded"] = [by_name[pair] for pair in exclude]
    with import_progress() as progress:
        manifest = changes.revise(data.folder, change, reading=reading, progress=progress)
    show_manifest(manifest, as_json=json)


@data_app.command("check")
def data_check(name: str, json: Json = False) -> None:
    """What is in a data set, what was decided about it, and what may be wrong with it."""
    data = open_dataset(own_workspace(), name)
    others = readings.alternatives(changes.survey_of(data), data.manifest.class_file)
    show_manifest(data.manifest, as_json=json, others=others, changed=changes.changed_files(data))


@data_app.command("export")
def data_export(
    name: str, to: Annotated[Path, typer.Option(help="The zip file to write.")], json: Json = False
) -> None:
    """Write one zip with the files and every decision; `data import` takes it like any other source."""
    data = open_dataset(own_workspace(), name)
    if to.exists():
        raise DataError(f"{to} exists already. Choose another name.")
    with import_progress() as progress:
        portable.export_zip(data, to, progress=lambda done, total: progress("writing", done, total))
    show({"name": name, "zip": str(to)}, [f"{name}: {to} ({files.size_text(to.stat().st_size)})"], as_json=json)


@data_app.command("list")
def data_list(json: Json = False) -> None:
    """All data sets, newest first."""
    found = list_datasets(own_workspace())
    rows = [{"name": m.name, "num_pairs": len(m.pairs), "num_classes": len(m.classes), "note": m.note} for m in found]
    lines = [f"{row['name']:24} {row['num_pairs']:6} pairs  {row['num_classes']} classes" for row in rows]
    show({"datasets": rows}, lines, as_json=json)


def given_of(**options: Any) -> dict[str, Any]:
    """The options that were given, as a change of Choices. Raises DataError saying what is not allowed."""
    given = {key: value for key, value in options.items() if value is not None}
    decide(Choices(), given)
    return given
