"""Named extractors: published networks whose features judge images."""
