"""Measurement of a model: samples, metrics under a protocol, references and probe sets.

Start reading at `score` (the metrics of a model) and `reference` (what they are compared with). The
metrics themselves are pure functions in `genmint.metrics`.
"""
