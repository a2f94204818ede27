"""Features of the documents of a text in its reference network, for drift checks."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd

from genmint.data.ingestion.items import Items
from genmint.data.ingestion.readers.text import codepoints
from genmint.data.prepared import Prepared, Split
from genmint.drift.features import Features, Groups
from genmint.evaluation.text_network import TextNetwork, TokenIds, document_passages
from genmint.metrics.likelihood import UNKNOWN

# Maximum number of passages of a document, evenly spaced: a long document must not dominate.
_PASSAGES = 16


def held_out_documents(
    prepared: Prepared, network: TextNetwork, splits: Iterable[Split]
) -> tuple[Features, Groups]:
    """Return the features of the documents of these splits, and the document of each row."""

    def documents() -> Iterator[TokenIds]:
        for split in splits:
            stream, offsets = prepared.array(split), prepared.offsets(split)
            for start, stop in itertools.pairwise(offsets):
                # Every document begins with the token of a document's start.
                yield stream[start + 1 : stop].astype(np.int64)

    return _features(network, documents())


def new_documents(
    rows: pd.DataFrame, items: Items, network: TextNetwork, vocabulary: tuple[str, ...]
) -> tuple[Features, Groups]:
    """Return the features of the documents of a window, and the document of each row.

    Args:
        rows: manifest rows of the window.
        items: loader of the documents.
        network: reference network of the text.
        vocabulary: character of each token id.

    Raises:
        DataError: a document changed since it was ingested.
    """
    known = {ord(character): token for token, character in enumerate(vocabulary) if token > 1}

    def documents() -> Iterator[TokenIds]:
        for path, sha256 in zip(rows["path"], rows["sha256"], strict=True):
            codes = np.concatenate(list(codepoints(items.document(path, sha256))))
            distinct, places = np.unique(codes, return_inverse=True)
            tokens = [known.get(code, UNKNOWN) for code in distinct.tolist()]
            yield np.array(tokens, dtype=np.int64)[places]

    return _features(network, documents())


def _features(network: TextNetwork, documents: Iterator[TokenIds]) -> tuple[Features, Groups]:
    features, groups = [], []
    for number, passages in document_passages(documents, _PASSAGES):
        features.append(network.features(passages))
        groups.append(np.full(len(passages), number, dtype=np.int64))
    return np.concatenate(features), np.concatenate(groups)
