"""Readers: one module a kind, from what lies on disk to items of the prepared shape."""

from genmint.config import AudioDataset, Dataset, ImageDataset, TextDataset
from genmint.data.readers.audio import AudioReader
from genmint.data.readers.base import ItemReader, Reader, Statistics, UnreadableError
from genmint.data.readers.image import ImageReader
from genmint.data.readers.text import TextReader, codepoints

__all__ = [
    "AudioReader",
    "ImageReader",
    "ItemReader",
    "Reader",
    "Statistics",
    "TextReader",
    "UnreadableError",
    "codepoints",
    "item_reader_of",
    "reader_of",
]


def reader_of(dataset: Dataset) -> Reader:
    """What describes the files of a data set."""
    if isinstance(dataset, TextDataset):
        return TextReader(dataset)
    return item_reader_of(dataset)


def item_reader_of(dataset: ImageDataset | AudioDataset) -> ItemReader:
    """What turns the files of a data set into items of one shape."""
    return ImageReader(dataset) if isinstance(dataset, ImageDataset) else AudioReader(dataset)
