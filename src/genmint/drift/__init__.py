"""Drift detection: windows of new items are tested against the training data.

`look` runs one drift check of a data set and returns the decision (docs/drift.md). Schedules are
defined in pipelines/drift.py.
"""
