"""Audio files that readers get wrong, each with what must become of it.

`sounds()` are put into one folder beside those of `ordinary`, which enter. All are a quarter of a
second at 8 kHz where nothing else is said, and made anew by each call.
"""

import functools
import io
import struct
from dataclasses import dataclass

import numpy as np
import soundfile

RATE = 8000
LENGTH = 2000
_RATE_44 = 44_100
_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_GUID = b"\0\0\0\0\x10\0\x80\0\0\xaa\0\x38\x9b\x71"


@dataclass(frozen=True, eq=False)
class Awkward:
    """An audio file.

    Attributes:
        name: of the file.
        content: of the file.
        reason: part of the reason why it is quarantined; None if it enters.
        becomes: what a model gets, int16 of LENGTH, where it enters.
        within: levels of 65,536 by which that may differ.
    """

    name: str
    content: bytes
    reason: str | None = None
    becomes: np.ndarray | None = None
    within: int = 1


def noise(seed, shape=(LENGTH,)):
    """Loud int16 noise, different from seed to seed."""
    return np.random.default_rng([4, seed]).integers(-9000, 9000, shape).astype(np.int16)


def ordinary(count=40):
    """Names and contents of files that enter."""
    return {f"ordinary-{k:02d}.wav": saved(noise(1000 + k)) for k in range(count)}


def saved(samples, file_format="WAV", subtype="PCM_16", rate=RATE):
    """Samples as a file; int16, or floats of full scale 1."""
    stream = io.BytesIO()
    soundfile.write(stream, samples, rate, format=file_format, subtype=subtype)
    return stream.getvalue()


def chunk(kind, data, length=None, order="<"):
    """A RIFF chunk; `length` replaces the right one."""
    stored = len(data) if length is None else length
    return struct.pack(f"{order}4sI", kind, stored) + data + b"\0" * (len(data) & 1)


def form(tag=_PCM, channels=1, bits=16, rate=RATE, frame=None, a_second=None, order="<"):
    """The format chunk of a WAV file."""
    frame = channels * bits // 8 if frame is None else frame
    a_second = rate * frame if a_second is None else a_second
    return struct.pack(f"{order}HHIIHH", tag, channels, rate, a_second, frame, bits)


def wav(*chunks, magic=b"RIFF", size=None, order="<"):
    """A WAV file of chunks; `size` replaces the right length."""
    body = b"WAVE" + b"".join(chunks)
    stored = len(body) if size is None else size
    return struct.pack(f"{order}4sI", magic, stored) + body


def plain(seed, *, before=(), after=(), length=None, size=None, **fmt):
    """A 16-bit WAV file written by hand."""
    data = noise(seed).tobytes()
    parts = [chunk(b"fmt ", form(**fmt)), *before, chunk(b"data", data, length), *after]
    return wav(*parts, size=size)


def _wav_damage():
    whole = saved(noise(1))
    yield Awkward("half.wav", whole[: len(whole) // 2], "cut short: its header promises 4000 bytes")
    yield Awkward("one-byte-less.wav", whole[:-1], "cut short: its header promises 4000 bytes")
    yield Awkward("header-only.wav", whole[:44], "cut short: its header promises")
    yield Awkward("in-the-header.wav", whole[:30], "cut short within its header")
    shorter = plain(2, length=2000)
    yield Awkward("length-too-small.wav", shorter, "so the length in its header is wrong")
    yield Awkward("length-odd.wav", plain(3, length=3999, size=44 + 3999), "no whole number")
    yield Awkward("block-lost.wav", whole[:2000] + whole[2500:], "cut short")
    yield Awkward("block-twice.wav", whole[:2000] + whole[1500:], "goes on after the end")
    yield Awkward("no-format.wav", wav(chunk(b"data", noise(4).tobytes())), "before their format")
    yield Awkward("no-samples-chunk.wav", wav(chunk(b"fmt ", form())), "cut short within its list")
    yield Awkward("samples-none.wav", saved(noise(5)[:0]), "0 samples")
    yield Awkward("two-channels-of-one.wav", plain(6, channels=2, frame=2), "contradicts itself")
    yield Awkward("other-rate.wav", plain(7, rate=44_100, a_second=16_000), "contradicts itself")
    absurd = plain(8, rate=2**31 - 1)
    yield Awkward("absurd-rate.wav", absurd, "implausible sample rate: 2147483647 Hz")
    yield Awkward("no-channels.wav", plain(9, channels=0), "no channels")
    garbage = plain(10, before=[b"\x01\x02\x03\x04" + struct.pack("<I", 4) + b"data"])
    yield Awkward("chunks-broken.wav", garbage, "list of chunks is broken")
    not_finite = noise(11) / 32_768
    not_finite[700] = np.nan
    yield Awkward("nan.wav", saved(not_finite, subtype="FLOAT"), "NaN or infinite")


def _wav_kinds():
    sound = noise(20)
    unknown = 0xFFFFFFFF
    yield Awkward("streamed.wav", plain(20, length=unknown, size=unknown), becomes=sound)
    yield Awkward("streamed-sox.wav", plain(21, length=0x7FFFF000, size=0x7FFFF024),
                  becomes=noise(21))  # fmt: skip
    yield Awkward("total-too-small.wav", plain(22, size=100), becomes=noise(22))
    yield Awkward("no-bytes-a-second.wav", plain(23, a_second=0), becomes=noise(23))
    big = chunk(b"LIST", b"INFO" + bytes(3_000_000))
    yield Awkward("big-list.wav", plain(24, before=[big]), becomes=noise(24))
    broken = chunk(b"LIST", b"INFOIART\xff\xff\xff\xff")
    yield Awkward("list-damaged.wav", plain(25, before=[broken]), becomes=noise(25))
    note = chunk(b"LIST", b"INFO")
    odd = wav(chunk(b"fmt ", form(bits=8)), chunk(b"odd ", b"1"),
              chunk(b"data", (noise(26)[:1999] // 256 + 128).astype(np.uint8).tobytes()),
              note)  # fmt: skip
    eight = np.append(noise(26)[:1999] // 256 * 256, 0)
    yield Awkward("8-bit-odd.wav", odd, becomes=eight)
    yield Awkward("tag-after.wav", plain(27) + b"TAG" + b"title" * 25, becomes=noise(27))
    yield Awkward("zeros-after.wav", plain(28) + bytes(512), becomes=noise(28))
    guid = struct.pack("<HHIH", 22, 16, 4, _PCM) + _GUID
    extended = chunk(b"fmt ", form(tag=_EXTENSIBLE) + guid)
    yield Awkward("extensible.wav", wav(extended, chunk(b"data", noise(29).tobytes())),
                  becomes=noise(29))  # fmt: skip
    cut = wav(extended, chunk(b"data", noise(30).tobytes()))
    yield Awkward("extensible-cut.wav", cut[:-900], "cut short: its header promises 4000 bytes")
    big_endian = noise(31).astype(">i2").tobytes()
    rifx = wav(chunk(b"fmt ", form(order=">"), order=">"), chunk(b"data", big_endian, order=">"),
               magic=b"RIFX", order=">")  # fmt: skip
    yield Awkward("big-endian.wav", rifx, becomes=noise(31))
    long = struct.pack("<QQQI", 4100, 4000, 2000, 0)
    parts = (chunk(b"ds64", long), chunk(b"fmt ", form()))
    rf64 = wav(*parts, chunk(b"data", noise(32).tobytes(), unknown), magic=b"RF64", size=unknown)
    yield Awkward("rf64.wav", rf64, becomes=noise(32))
    yield Awkward("rf64-cut.wav", rf64[:-1000], "cut short: its header promises 4000 bytes")
    wide = noise(33) / 32_768
    yield Awkward("24-bit.wav", saved(wide, subtype="PCM_24"), becomes=noise(33))
    yield Awkward(
        "64-bit-float.wav", saved(noise(34) / 32_768, subtype="DOUBLE"), becomes=noise(34)
    )
    yield Awkward("a-law.wav", saved(noise(35), subtype="ALAW"), becomes=noise(35), within=300)
    loud = noise(36) / 9000 * 1.2
    clipped = np.rint(loud * 32_768).clip(-32_768, 32_767)
    yield Awkward("over-full-scale.wav", saved(loud, subtype="FLOAT"), becomes=clipped)
    integers = noise(37).astype(np.float32)
    yield Awkward("floats-of-int16.wav", saved(integers, subtype="FLOAT"), "of full scale")


def _channels():
    one = noise(40)
    inverted = np.stack([one, -one], axis=1)
    yield Awkward("inverted.wav", saved(inverted), "its channels cancel each other")
    yield Awkward("inverted.flac", saved(-inverted, "FLAC"), "its channels cancel each other")
    half = np.stack([noise(41), np.zeros(LENGTH, np.int16)], axis=1)
    yield Awkward("one-channel-silent.wav", saved(half), becomes=noise(41) / 2)
    six = noise(42, (LENGTH, 6))
    yield Awkward("six-channels.wav", saved(six), becomes=six.mean(axis=1))
    yield Awkward("silent.wav", saved(np.zeros(LENGTH, np.int16)), "silence (peak 0")


def _flac():
    whole = saved(noise(50), "FLAC")
    yield Awkward("cut.flac", whole[: len(whole) // 2], "damaged audio file")
    frame = 8 + 34
    while whole[frame : frame + 2] != b"\xff\xf8":
        frame += 1
    yield Awkward("description-only.flac", whole[:frame], "cut short before its samples")
    bit = bytearray(whole)
    bit[frame + 900] ^= 4
    yield Awkward("bit.flac", bytes(bit), "damaged audio file")
    wrong = bytearray(whole)
    wrong[26] ^= 1
    yield Awkward("md5.flac", bytes(wrong), "wrong checksum of its samples")
    rate = bytearray(whole)
    rate[18] ^= 1
    yield Awkward("rate.flac", bytes(rate), "contradict each other")
    fewer = bytearray(whole)
    fewer[25] ^= 16
    yield Awkward("fewer-samples.flac", bytes(fewer), "damaged audio file")
    piped = bytearray(saved(noise(51), "FLAC"))
    piped[21] &= 0xF0
    piped[22:42] = bytes(20)
    yield Awkward("piped.flac", bytes(piped), "written into a pipe")
    plain_flac = saved(noise(52), "FLAC")
    comment = b"\x04" + (200_000).to_bytes(3, "big") + bytes(200_000)
    tagged = plain_flac[:4] + b"\0" + plain_flac[5:42] + comment + plain_flac[42:]
    yield Awkward("comment-damaged.flac", tagged, becomes=noise(52))
    tag = b"ID3\x04\0\0\0\0\0\x14" + b"TIT2" + bytes(16)
    yield Awkward("id3.flac", tag + saved(noise(53), "FLAC"), becomes=noise(53))
    yield Awkward("24-bit.flac", saved(noise(54) / 32_768, "FLAC", "PCM_24"), becomes=noise(54))
    yield Awkward("flac-called-wav.wav", saved(noise(55), "FLAC"), becomes=noise(55))


def _others():
    ogg = saved(noise(60) / 32_768, "OGG", "VORBIS")
    yield Awkward("ogg.wav", ogg, "not a wav or flac file")
    yield Awkward("aiff.wav", saved(noise(61), "AIFF"), "not a wav or flac file")
    yield Awkward("webp.wav", b"RIFF\x24\0\0\0WEBPVP8 " + bytes(30), "not a wav or flac file")
    yield Awkward("text.flac", b"I am no audio file", "not a wav or flac file")
    yield Awkward("empty.wav", b"", "empty file (0 bytes)")
    yield Awkward("z-copy.flac", saved(noise(1000), "FLAC"), "the same content as ordinary-00.wav")


@functools.cache
def sounds():
    """All of them."""
    makers = (_wav_damage, _wav_kinds, _channels, _flac, _others)
    return tuple(each for maker in makers for each in maker())
