"""Awkward configurations: each with what must happen when it is read as a params.yaml.

Made here, so that none can be mistaken for a real one; the largest has 1.1 MB and is text of one
letter.
"""

from dataclasses import dataclass
from typing import Any

GOOD = """\
datasets:
  faces: {path: data/own/faces, kind: image, resolution: 16}
  poems: {path: data/own/poems, kind: text}
models:
  a: {family: vae, dataset: faces, steps: 10, optimiser: {lr: 2e-4}}
  b: {family: rnn, dataset: poems, steps: 10}
gates:
  a:
    thresholds: {elbo: {min: -10.0}}
    champion: {superior: [elbo]}
"""


@dataclass(frozen=True)
class Configuration:
    """A params.yaml.

    Attributes:
        name: for test reports.
        data: what the file holds.
        refused: pattern of the one line that refuses it, behind the path; None if it is accepted.
        value: dotted key and the value that it must have, where it is accepted.
    """

    name: str
    data: bytes
    refused: str | None = None
    value: tuple[str, Any] | None = None


def _with(old: str, new: str) -> bytes:
    assert old in GOOD
    return GOOD.replace(old, new, 1).encode()


def _refused(name: str, old: str, new: str, message: str) -> Configuration:
    return Configuration(name, _with(old, new), message)


def _accepted(name: str, old: str, new: str, key: str, value: Any) -> Configuration:
    return Configuration(name, _with(old, new), value=(key, value))


def bomb(levels: int = 9, width: int = 9) -> str:
    """Nested aliases that stand for width^levels values."""
    lines = [f"b0: &b0 [{', '.join(['x'] * width)}]"]
    lines += [
        f"b{level}: &b{level} [{', '.join([f'*b{level - 1}'] * width)}]"
        for level in range(1, levels)
    ]
    return "\n".join(lines) + "\n"


def merge_bomb(levels: int = 20) -> str:
    """Maps that merge the map before them under two names: 2^levels values."""
    lines = ["m0: &m0 {k: v}"]
    lines += [f"m{i}: &m{i} {{l: {{<<: *m{i - 1}}}, r: *m{i - 1}}}" for i in range(1, levels)]
    return "\n".join(lines) + "\n"


_PATH = "path: data/own/poems"
_STEPS = "dataset: poems, steps: 10"

CONFIGURATIONS: tuple[Configuration, ...] = (
    # What aliases can do.
    Configuration(
        "yaml-bomb", (GOOD + bomb()).encode(), r"line \d+, column \d+: aliases stand for"
    ),
    Configuration(
        "merge-bomb", (GOOD + merge_bomb()).encode(), "aliases stand for more than 20000 values"
    ),
    Configuration(
        "long-text-a-thousand-times",
        (GOOD + "t: &t " + "x" * 100_000 + "\nmany: [" + "*t, " * 1000 + "]\n").encode(),
        "more than 2097152 characters, aliases expanded",
    ),
    Configuration("circular", b"datasets: &d {x: *d}\n", r"line 1, column 18: the alias \*d"),
    Configuration(
        "circular-list",
        b"datasets: &d [[*d]]\n",
        r"the alias \*d refers to a node that contains it",
    ),
    _refused("unknown-alias", "superior: [elbo]", "superior: *s", r"alias \*s names no anchor"),
    Configuration(
        "alias",
        GOOD.replace("optimiser: {", "optimiser: &o {")
        .replace(_STEPS, f"{_STEPS}, optimiser: *o")
        .encode(),
        value=("models.b.optimiser.lr", 2e-4),
    ),
    Configuration(
        "merge-key",
        GOOD.replace("  a: {family", "  a: &a {family")
        .replace("  b: {family: rnn, dataset: poems, steps: 10}", "  b: {<<: *a, steps: 7}")
        .encode(),
        value=("models.b.steps", 7),
    ),
    _refused("merge-of-text", _STEPS, f"{_STEPS}, <<: poems", "<< takes a map"),
    _refused("two-merges", _STEPS, f"{_STEPS}, <<: {{}}, <<: {{}}", "<< occurs twice"),
    # Keys.
    _refused("number-as-key", "poems: {", "1984: {", r"line 3, column 3: the key 1984 is not text"),
    _refused("null-as-key", "poems: {", "~: {", "the key ~ is not text"),
    _refused("boolean-as-key", "poems: {", "true: {", "the key true is not text"),
    _refused("list-as-key", "poems: {", "[poems]: {", "a key that is a map or a list"),
    _refused("map-as-key", "poems: {", "? {a: b}\n  : {", "a key that is a map or a list"),
    _refused("empty-key", "poems: {", "'': {", "lower-case letters, digits and hyphens"),
    _refused("key-twice", _STEPS, "dataset: poems, steps: 1, steps: 2", "'steps' occurs twice"),
    Configuration(
        "map-twice", (GOOD + "models: {}\n").encode(), "line 11, column 1: the key 'models' occurs"
    ),
    _refused("long-key", "poems: {", f"? {'k' * 5000}\n  : {{", "a key of 5000 characters"),
    _refused("name-in-cyrillic", "poems: {", "стихи: {", "lower-case letters, digits"),
    # Numbers.
    _refused("5000-digits", _STEPS, f"{_STEPS[:-2]}{'9' * 5000}", "a number of 5000 characters"),
    _refused("30-digits", _STEPS, f"{_STEPS[:-2]}{'9' * 30}", "not a number of at most 64 bits"),
    _refused("digits-that-are-none", _STEPS, f"{_STEPS[:-2]}-_", "'-_' is not a number"),
    _accepted("octal", _STEPS, f"{_STEPS[:-2]}0o17", "models.b.steps", 15),
    _accepted("leading-zero", _STEPS, f"{_STEPS[:-2]}017", "models.b.steps", 17),
    _accepted("hexadecimal", _STEPS, f"{_STEPS[:-2]}0x1f", "models.b.steps", 31),
    _accepted("underscores", _STEPS, f"{_STEPS[:-2]}1_000", "models.b.steps", 1000),
    _refused("sexagesimal", _STEPS, f"{_STEPS[:-2]}1:30", "models.b.steps: .*valid integer"),
    _refused("nan", "lr: 2e-4", "lr: .nan", "models.a.optimiser.lr: .*finite number"),
    _refused("infinity", "min: -10.0", "min: -.inf", "gates.a.thresholds.elbo.min: .*finite"),
    _refused("overflow", "lr: 2e-4", "lr: 1e999", "models.a.optimiser.lr: .*finite number"),
    # Words that YAML 1.1 took for booleans, and dates.
    _accepted("no", _PATH, "path: no", "datasets.poems.path", "no"),
    _accepted("on", _PATH, "path: on", "datasets.poems.path", "on"),
    _refused("yes-for-true", _STEPS, f"{_STEPS}, residual: yes", "models.b.residual: .*boolean"),
    _refused("yaml-1.1", "datasets:", "%YAML 1.1\n---\ndatasets:", "another version of YAML"),
    _refused("date", _PATH, "path: 2024-01-31", "line 3, column 17: 2024-01-31 is a date"),
    _accepted("quoted-date", _PATH, "path: '2024-01-31'", "datasets.poems.path", "2024-01-31"),
    # Tags.
    _refused("python-object", _PATH, "path: !!python/object/apply:os.system [ls]", "tags are not"),
    _refused("custom-tag", _PATH, "path: !secret data", "tags are not read"),
    _refused("binary", _PATH, "path: !!binary aGk=", "tags are not read"),
    _refused("set", "superior: [elbo]", "superior: !!set {elbo}", "tags are not read"),
    _accepted("text-tag", _PATH, "path: !!str 12", "datasets.poems.path", "12"),
    # Shape.
    Configuration("empty", b"", "expected the maps datasets, models and gates"),
    Configuration("only-comments", b"# nothing\n", "expected the maps"),
    Configuration("list-at-the-top", b"- datasets\n- models\n", "expected the maps"),
    Configuration("text-at-the-top", b"datasets", "expected the maps"),
    Configuration("missing-maps", b"datasets: {}\n", "models: is missing\n.*gates: is missing"),
    Configuration("null-maps", b"datasets:\nmodels:\ngates:\n", "datasets: .*object"),
    Configuration("list-for-a-map", b"datasets: []\nmodels: {}\ngates: {}\n", "datasets: .*object"),
    Configuration("nested", b"a: " + b"[" * 5000, "nested more than 32 deep"),
    Configuration("nested-as-block", b"- " * 5000, "nested more than 32 deep"),
    Configuration("two-documents", GOOD.encode() + b"---\na: 1\n", "a second document begins"),
    Configuration(
        "a-thousand-unknown-keys",
        (GOOD + "".join(f"k{i}: 1\n" for i in range(1000))).encode(),
        r"k0: unknown key(.|\n)*and more problems",
    ),
    # Bytes.
    Configuration("byte-order-mark", b"\xef\xbb\xbf" + GOOD.encode(), value=("models.b.steps", 10)),
    Configuration("utf-16", GOOD.encode("utf-16"), "not UTF-8, but UTF-16"),
    Configuration("latin-1", _with(_PATH, "path: caf?").replace(b"?", b"\xe9"), "line 3, byte 20"),
    Configuration(
        "windows-lines", GOOD.replace("\n", "\r\n").encode(), value=("models.b.steps", 10)
    ),
    Configuration("tab", GOOD.replace("  poems", "\tpoems").encode(), "found a tab"),
    Configuration("nul", _with(_PATH, "path: a\0b"), r"control character U\+0000"),
    _refused("escaped-nul", _PATH, r'path: "a\0b"', r"line 3, column 17: .* U\+0000 in a text"),
    _refused("escape-sequence", _PATH, r'path: "\e[2J"', r"control character U\+001B"),
    _refused("half-a-character", _PATH, r'path: "\ud83d"', r"control character U\+D83D"),
    _refused("beyond-unicode", _PATH, r'path: "\UFFFFFFFF"', "not valid YAML"),
    Configuration(
        "conflict-markers",
        GOOD.replace("gates:", "<<<<<<< HEAD\ngates:\n=======\ngates:\n>>>>>>> main").encode(),
        "Line 7 is a conflict marker of git",
    ),
    _accepted(
        "unicode-path", _PATH, "path: data/own/стихи 詩", "datasets.poems.path", "data/own/стихи 詩"
    ),
    _refused("long-text", _PATH, f"path: {'x' * 500_000}", r"datasets.poems.path: .*characters"),
    _refused("long-name", _PATH, f"path: {'x' * 300}", "datasets.poems.path: no name of a file"),
    _refused(
        "deep-pattern",
        _PATH,
        f"{_PATH}, filename_pattern: '{'(' * 900}'",
        "datasets.poems.filename_pattern: not a regular expression",
    ),
    _refused(
        "huge-repetition",
        _PATH,
        f"{_PATH}, filename_pattern: '(?P<label>a{{99999999999}})'",
        "datasets.poems.filename_pattern: not a regular expression",
    ),
    Configuration("large", GOOD.encode() + b"#" * (1 << 20), "more than 1048576 bytes"),
    Configuration("many-values", GOOD.encode() + b"k: [" + b"1," * 40_000 + b"]", "20000 values"),
)
