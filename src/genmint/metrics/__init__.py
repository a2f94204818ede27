"""Metrics as pure functions on arrays, one metric or family of metrics a file.

Importing this package imports none of them. What their numbers mean is in
`genmint.config.metric_catalogue`.
"""
