"""Whether new data call for a retraining: windows of new items against what the models learned.

`look` takes one look at a data set and says what came of it (docs/drift.md). Nothing here knows
about schedules: pipelines/drift.py does.
"""
