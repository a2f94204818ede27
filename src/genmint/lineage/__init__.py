"""Lineage of a version: run, commit, data, code, parameters, validation, gate, journal."""

from genmint.lineage.links import Lineage, trace
from genmint.lineage.tree import print_lineage
from genmint.lineage.worktree import check_out

__all__ = ["Lineage", "check_out", "print_lineage", "trace"]
