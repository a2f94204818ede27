"""Readers with limits for external text: YAML, JSON and CSV.

Size, depth, expansion and the length of numbers are limited. A damaged or hostile file therefore
raises a one-line error with file and position, in bounded time and memory.
"""

from genmint.common.reading.content import conflict, decoded, read_bytes, shortened
from genmint.common.reading.json_text import parse_json, read_json
from genmint.common.reading.table import read_table, write_table
from genmint.common.reading.yaml_text import CONFIGURATION, LOCK_FILE, Limits, parse_yaml, read_yaml

__all__ = [
    "CONFIGURATION",
    "LOCK_FILE",
    "Limits",
    "conflict",
    "decoded",
    "parse_json",
    "parse_yaml",
    "read_bytes",
    "read_json",
    "read_table",
    "read_yaml",
    "shortened",
    "write_table",
]
