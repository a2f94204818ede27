"""Readers of source files, one module per kind of data; they return items of the prepared shape."""

from genmint.config import AudioDataset, Dataset, ImageDataset, TextDataset
from genmint.data.ingestion.readers.audio import AudioReader
from genmint.data.ingestion.readers.base import FileReader, ItemReader, Statistics, UnreadableError
from genmint.data.ingestion.readers.image import ImageReader
from genmint.data.ingestion.readers.text import TextReader, codepoints

__all__ = [
    "AudioReader",
    "FileReader",
    "ImageReader",
    "ItemReader",
    "Statistics",
    "TextReader",
    "UnreadableError",
    "codepoints",
    "item_reader_of",
    "reader_of",
]


def reader_of(dataset: Dataset) -> FileReader:
    """Return the reader that describes the files of a data set."""
    if isinstance(dataset, TextDataset):
        return TextReader(dataset)
    return item_reader_of(dataset)


def item_reader_of(dataset: ImageDataset | AudioDataset) -> ItemReader:
    """Return the reader that loads the files of a data set as items of one shape."""
    return ImageReader(dataset) if isinstance(dataset, ImageDataset) else AudioReader(dataset)
