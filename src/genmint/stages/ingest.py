"""Stage ingest: from a source to a manifest with one row per item."""

from __future__ import annotations

from genmint.common.errors import DataError
from genmint.common.files import atomic_dir, atomic_path
from genmint.common.project import Project
from genmint.config import ImageDataset, Params
from genmint.data import agreement, manifest
from genmint.data.ingestion.final_reader import final_reader, needs_final_reader, remarks
from genmint.data.ingestion.items import FileItems, check_groups
from genmint.data.ingestion.left_out import sentence
from genmint.data.ingestion.official import check_split_folders
from genmint.data.ingestion.progress import counted
from genmint.data.ingestion.readers import reader_of
from genmint.data.ingestion.sources import open_source


def run(project: Project, params: Params, name: str) -> None:
    """Write data/raw/NAME and data/manifest/NAME.parquet.

    Raises:
        ConfigError: the entry does not fit its source, or `bits` must be set.
        DataError: the source is missing, its checksum is wrong, or none of its items is readable.
    """
    dataset = params.datasets[name]
    source = open_source(project, name, dataset)
    reader = reader_of(dataset)
    with atomic_dir(project.raw(name)) as folder, atomic_path(project.manifest(name)) as table:
        source.materialise(folder)
        items = source.items(folder)
        if isinstance(items, FileItems):
            note = check_split_folders(name, dataset, items.paths())
            if note:
                print(note)  # noqa: T201
        check_groups(items, name, [*manifest.COLUMNS, *reader.columns])
        made_with = agreement.settings_of_items(dataset)
        columns = manifest.schema(reader, items.groups, made_with, items.left_out)
        pieces = counted(items.describe(), f"reading {name}")
        count, readable = manifest.write(table, pieces, columns)
        if readable == 0:
            raise DataError(
                f"datasets.{name}: none of {count} items can be read; "
                f"the first is {manifest.first_error(table)}"
            )
        lines: list[str] = []
        if isinstance(dataset, ImageDataset):
            lines = remarks(name, dataset, table)
            reader = final_reader(name, dataset, table)
            if needs_final_reader(dataset, table):
                items = items.read_by(reader)
                pieces = counted(items.describe(), f"reading {name} again")
                manifest.write(table, pieces, columns)
    unread = f", {count - readable} of them unreadable" if count > readable else ""
    others = sentence(items.left_out)
    first = f"{name}: {count} items{unread}{f'; {others}' if others else ''}"
    print(*(first, *lines), sep="\n")  # noqa: T201
