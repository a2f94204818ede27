"""Promotion of a gated model to champion: evidence, comparison, aliases and journal.

Start with `promote`. `challenge` compares with the champion, `reconcile` handles manual changes in
MLflow, and `rollback` returns to an earlier champion.
"""
