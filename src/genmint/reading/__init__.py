"""Bounded readers of text from outside: YAML, JSON and CSV.

Size, depth, expansion and the length of numbers are limited, so that a damaged or hostile file ends
in one line that names the file and the position, in bounded time and memory.
"""

from genmint.reading.content import conflict, decoded, read_bytes, shortened
from genmint.reading.json_text import parse_json, read_json
from genmint.reading.table import read_table
from genmint.reading.yaml_text import CONFIGURATION, LOCK_FILE, Limits, parse_yaml, read_yaml

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
]
