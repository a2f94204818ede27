"""Drift detection: windows of new items are tested against the training data.

`check_drift` runs one drift check of a data set and returns the decision (docs/drift.md).
Schedules are defined in pipelines/drift.py.
"""
