"""Promotion decisions as pure functions of numbers and hashes: gate, comparison, intervals.

The package reads no file, contacts no server and does not import torch. import-linter enforces
this, and `make mutate` runs mutation testing here. Start with `gate` (may the model be promoted?)
and `comparison` (is it better than the champion?).
"""
