"""Texts that readers get wrong, each with what must become of it.

`TEXTS` is put into one folder beside the documents of `ordinary`, which enter.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Awkward:
    """A text.

    Attributes:
        name: of the file.
        content: of the file.
        reason: part of the reason why it is quarantined; None if it enters.
        becomes: what a model gets, where it enters.
        near: name of the text that it is a near-duplicate of, if of any.
    """

    name: str
    content: bytes
    reason: str | None = None
    becomes: str | None = None
    near: str | None = None


def prose(seed, words=120):
    """English-looking words, all different from seed to seed."""
    generator = np.random.default_rng([1, seed])
    letters = np.array(list("etaoinshrdlucmfw"))
    return " ".join(
        "".join(letters[generator.integers(0, 16, generator.integers(2, 9))]) for _ in range(words)
    )


def ordinary(count=40):
    """Names and contents of documents that enter."""
    return {f"ordinary-{number:02d}.txt": _lines(number).encode() for number in range(count)}


def _enters(name, text, *, near=None, becomes=None):
    return Awkward(name, text.encode(), becomes=becomes or text, near=near)


def _lines(seed):
    return prose(seed).replace(" t", "\nt")


_COPY, _NEAR = _lines(0), prose(1)

TEXTS = (
    # Encodings.
    Awkward("bom.txt", b"\xef\xbb\xbf" + _lines(100).encode(), becomes=_lines(100)),
    Awkward("utf-16-le.txt", prose(101).encode("utf-16"), "not UTF-8 (byte 0xff)"),
    Awkward("utf-16-be.txt", b"\xfe\xff" + prose(102).encode("utf-16-be"), "byte 0xfe"),
    Awkward("utf-16-no-bom.txt", prose(103).encode("utf-16-le"), "control characters"),
    Awkward("utf-32.txt", prose(104).encode("utf-32-le"), "control characters"),
    Awkward("latin-1.txt", ("café " + prose(105)).encode("latin-1"), "byte 0xe9"),
    Awkward("truncated.txt", ("z" * 80 + "漢").encode()[:-1], "not UTF-8"),
    Awkward("cesu-8.txt", b"smile \xed\xa0\xbd\xed\xb8\x80" + prose(106).encode(), "byte 0xed"),
    Awkward("overlong.txt", b"slash \xc0\xaf" + prose(107).encode(), "byte 0xc0"),
    Awkward("beyond-unicode.txt", b"\xf4\x90\x80\x80" + prose(108).encode(), "byte 0xf4"),
    Awkward("replaced.txt", ("�" * 20 + prose(109)).encode(), "control characters"),
    # Line ends.
    Awkward("crlf.txt", _lines(110).replace("\n", "\r\n").encode(), becomes=_lines(110)),
    Awkward("lone-cr.txt", _lines(111).replace("\n", "\r").encode(), becomes=_lines(111)),
    Awkward("mixed-ends.txt", b"a\r\nb\rc\nd\r\r\n" + prose(112).encode(),
            becomes="a\nb\nc\nd\n\n" + prose(112)),
    _enters("one-line.txt", "x".join(prose(113, 4000).split())),
    # Characters.
    Awkward("nul.txt", b"\x00" * 30 + prose(114).encode(), "control characters"),
    Awkward("terminal.txt", b"\x1b[31mred\x1b[0m " * 40, "control characters"),
    _enters("chinese.txt", "床前明月光，疑是地上霜。舉頭望明月，低頭思故鄉。" * 3),
    _enters("arabic.txt", "كان يا ما كان في قديم الزمان\u202e\u202c " * 3),
    _enters("combining.txt", "Z̴̛͔̝a̷͙̿l̴̰͝g̶̙̈o̵͎͑ e\u0301 é " * 4),
    _enters("emoji.txt", "👩‍👩‍👧‍👦 🏳️‍🌈 👍🏽 🇯🇵 " * 6),
    # Nothing to see.
    Awkward("empty.txt", b"", "empty file"),
    Awkward("bom-only.txt", b"\xef\xbb\xbf", "characters long"),
    Awkward("blanks.txt", b" \t\n" * 300, "blank text"),
    Awkward("wide-blanks.txt", "\u3000\u00a0\u2003\n".encode() * 100, "blank text"),
    Awkward("zero-width.txt", "\u200b\u200d\ufeff\u2060".encode() * 100, "blank text"),
    # The same again.
    Awkward("other-ends.txt", _COPY.encode().replace(b"\n", b"\r\n"),
            "the same content as ordinary-00.txt"),
    Awkward("with-bom.txt", b"\xef\xbb\xbf" + _COPY.encode(),
            "the same content as ordinary-00.txt"),
    _enters("near-case.txt", _NEAR.upper(), near="ordinary-01.txt"),
    _enters("near-wrapped.txt", _NEAR.replace(" ", "\n   "), near="ordinary-01.txt"),
    _enters("near-edited.txt", _NEAR + " and one more sentence", near="ordinary-01.txt"),
)  # fmt: skip
