"""Seeded mutations of a file: of its bytes, its lines, and the tree that a JSON or YAML text is.

The same seed gives the same file on every machine.
"""

import copy
import json
import random

# What has ended in a traceback somewhere: borders of numbers, syntax, control characters.
TOKENS = [
    *(b"\0", b"\xff", b"\xef\xbb\xbf", b"\xff\xfe", b"\r\n", b"\t", b"\x1b[2J", b"\xed\xa0\x80"),
    *(b"NaN", b"-Infinity", b".nan", b".inf", b"1e999", b"-1", b"0", b"9" * 30, b"9" * 5000),
    *(b"18446744073709551616", b"-9223372036854775809", b"2147483648", b"0x", b"-_", b"1:30"),
    *(b"{", b"}", b"[", b"]", b"[" * 200, b'{"a":' * 200, b"- " * 100, b": ", b"? ", b"<<: "),
    *(b"&a ", b"*a", b"!!python/object:os.system ", b"!t ", b"%YAML 1.1\n---\n", b"---\n", b"|\n"),
    *(b'"', b"'", b"\\", b"\\u0000", b"\\ud800", b'"\\UFFFFFFFF"', b"#", b"~", b"null", b"true"),
    *(b"2024-01-31", b"<<<<<<< HEAD\n", b"=======\n", b",", b"\n", b"a" * 300, b"../../etc"),
    *(b"IHDR", b"IDAT", b"IEND", b"RIFF", b"WAVE", b"data", b"fmt ", b"fLaC", b"\xff\xd8", b"VP8X"),
]
VALUES = [
    *(None, True, False, 0, -1, 1, 1.5, -0.0, 1e308, 2**31, 2**63, 2**64, 10**30, 10**5000),
    *(float("nan"), float("inf"), "", "a", "a" * 5000, "\0", "\x1b[2J", "\u202e", "é", "../.."),
    *("1", "nan", "none", [], {}, [[]], {"": {}}, [None], [0] * 50),
]
_SIZE = 200_000


def mutated(generator: random.Random, data: bytes, others: list[bytes]) -> bytes:
    """One to four mutations of `data`; `others` are files of the same kind to splice with."""
    for _ in range(generator.choice((1, 1, 1, 2, 4))):
        tree = _tree(data) if generator.random() < 0.5 else None
        if tree is not None:
            data = _mutated_tree(generator, *tree)
        else:
            data = _mutated_bytes(generator, data, others)
    return data[:_SIZE]


def _tree(data: bytes):
    """What a text of JSON says, with what is to be written of it; None for other files."""
    if data[:1] not in (b"{", b"["):
        return None
    try:
        return (json.loads(data),)
    except (ValueError, RecursionError):
        return None


def _mutated_tree(generator: random.Random, tree) -> bytes:
    places = [place for place in _places(tree) if place]
    for _ in range(generator.choice((1, 1, 2, 5))):
        if not places:
            break
        *path, last = generator.choice(places)
        holder = tree
        try:
            for part in path:
                holder = holder[part]
            value = holder[last]
        except (KeyError, IndexError, TypeError):
            continue  # an earlier mutation took it away
        if not isinstance(holder, dict | list):
            continue
        action = generator.randrange(6)
        if action == 0:
            del holder[last]
        elif action == 1 and isinstance(holder, dict):
            holder[generator.choice(("", "a", "1", last.upper(), f"{last} "))] = holder.pop(last)
        elif action == 2:
            holder[last] = [value, copy.deepcopy(value)]
        elif action == 3 and isinstance(value, int | float) and abs(value) < 2**60:
            holder[last] = value * generator.choice((-1, 0, 0.5, 10, 1000, 10**9))
        else:
            holder[last] = copy.deepcopy(generator.choice(VALUES))
    try:
        return json.dumps(tree, ensure_ascii=generator.random() < 0.5).encode()
    except ValueError:  # 10**5000: Python writes no such number either
        return b'{"a": ' + b"9" * 5000 + b"}"


def _places(tree, path=(), depth=0):
    yield path
    if depth < 30 and isinstance(tree, dict | list):
        for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
            yield from _places(value, (*path, key), depth + 1)


def _mutated_bytes(generator: random.Random, data: bytes, others: list[bytes]) -> bytes:
    at = generator.randrange(len(data) + 1)
    width = min(len(data) - at, generator.choice((1, 1, 2, 4, 16, 200)))
    action = generator.randrange(9)
    if action == 0 and at < len(data):
        return data[:at] + bytes([data[at] ^ 1 << generator.randrange(8)]) + data[at + 1 :]
    if action == 1:
        return data[:at] + generator.randbytes(width) + data[at + width :]
    if action == 2:
        return data[:at]
    if action == 3:
        return data[:at] + data[at + width :]
    if action == 4:
        return data[:at] + data[at : at + width] * generator.choice((2, 3, 50)) + data[at + width :]
    if action == 5:
        other = generator.choice(others)
        return data[:at] + other[generator.randrange(len(other) + 1) :]
    if action == 6:
        lines = data.split(b"\n")
        first, second = generator.randrange(len(lines)), generator.randrange(len(lines))
        lines[first], lines[second] = lines[second], lines[first]
        return b"\n".join(lines)
    if action == 7 and (numbers := _numbers(data)):
        start, stop = generator.choice(numbers)
        return data[:start] + generator.choice(TOKENS[8:21]) + data[stop:]
    return data[:at] + generator.choice(TOKENS) + data[at + generator.choice((0, width)) :]


def _numbers(data: bytes):
    found, start = [], None
    for at, byte in enumerate((*data[:5000], 0)):
        digit = 48 <= byte < 58
        if digit and start is None:
            start = at
        elif not digit and start is not None:
            found.append((start, at))
            start = None
    return found
