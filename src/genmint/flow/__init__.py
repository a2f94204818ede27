"""Implementation of the flows without Prefect: checkouts, stage graph, stages, publication.

`pipelines/` holds the flows themselves. Start with `stage` and `publish`.
"""
