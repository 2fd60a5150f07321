"""What a recording's file really holds, where its header says less, nothing or too much.

libsndfile believes headers. Of a recorder that lost power it reads what the header happened to say, of a
header that was never finished nothing, of recordings that were joined the first one, each time without a
word. So we look at the frame of the file ourselves, and hand libsndfile each recording in it with its true
length.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from voice_facilitator.errors import ExitCode, FacilitatorError

_UNKNOWN_32 = 0x7FFF_0000  # a recorder that writes into a pipe says 2 or 4 GB where it cannot know
_UNKNOWN_64 = 1 << 62
_BLOCK = 1 << 20
_MOST_CHUNKS = 10_000
_MOST_PARTS = 1000  # a radio station's stream has a few in an hour
_FLAC = b"fLaC"
_FLAC_BEGIN = (b"fLaC\x00\x00\x00\x22", b"fLaC\x80\x00\x00\x22")  # with the length of what always follows
_OGG_AUDIO = (b"\x01vorbis", b"OpusHead", b"\x7fFLAC", b"Speex   ")

CONVERT = "Convert it, for instance: ffmpeg -i RECORDING recording.flac"
_OTHERS = {  # by what their files begin with, from which byte on
    (b"ftyp", 4): "an MPEG-4 file (m4a, mp4, 3gp)",
    (b"\x1aE\xdf\xa3", 0): "a Matroska or WebM file",
    (b"0&\xb2u\x8ef\xcf\x11", 0): "a Windows Media file (wma)",
    (b"#!AMR", 0): "an AMR file",
    (b"\xff\xf1", 0): "an AAC file",
    (b"\xff\xf9", 0): "an AAC file",
}


@dataclass(frozen=True, slots=True)
class Part:
    """One recording in a file: its bytes, and what to read in place of some of them."""

    begin: int
    end: int
    mended: dict[int, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Layout:
    """How a format writes its chunks: their names, and their lengths as `struct` has them."""

    first: int  # where the first chunk stands
    length: str
    name_bytes: int = 4
    counts_itself: bool = False
    even: int = 2  # chunks begin at a multiple of this
    sound: bytes = b"data"

    @property
    def head(self) -> int:
        return self.name_bytes + struct.calcsize(self.length)


@dataclass(frozen=True, slots=True)
class _Sound:
    """Where the sound begins, and how long it is said to be."""

    length_at: int
    body: int
    length: int


_LAYOUTS = {
    b"RIFF": _Layout(12, "<I"),
    b"RIFX": _Layout(12, ">I"),
    b"RF64": _Layout(12, "<I"),
    b"FORM": _Layout(12, ">I", sound=b"SSND"),
    b"caff": _Layout(8, ">Q", even=1),
    b"riff": _Layout(40, "<Q", name_bytes=16, counts_itself=True, even=8),  # Sony's Wave64
}


def parts_of(file: BinaryIO, name: str) -> list[Part]:
    """The recordings in a file, one after the other. name: for messages.

    Raises FacilitatorError `audio-unreadable` where something is missing, or cannot be read whole.
    """
    size = file.seek(0, io.SEEK_END)
    begin = _behind_tag(file, size)
    head = _read(file, begin, 16)
    try:
        if head[:4] in _LAYOUTS:
            return [_chunked(file, size, _LAYOUTS[head[:4]], is_64=head[:4] == b"RF64")]
        if head[:4] in (b".snd", b"dns."):
            return [_sun(file, size, "<" if head[:4] == b"dns." else ">")]
        if head[:4] == b"OggS":
            return list(_ogg(file, size))
        if head[:4] == _FLAC:
            return list(_flac(file, begin, size))
        if _is_mp3(head):
            return [_mp3(file, begin, size)]
    except _Wrong as wrong:
        raise bad("audio-unreadable", f"{name} {wrong.what}.", wrong.hint) from None
    return [Part(0, size)]


def other_format(file: BinaryIO) -> str:
    """What a file is that we cannot read, as far as its beginning tells."""
    head = _read(file, 0, 16)
    return next((what for (sign, at), what in _OTHERS.items() if head[at:].startswith(sign)), "")


def bad(code: str, message: str, hint: str) -> FacilitatorError:
    return FacilitatorError(code, message, hint, exit_code=ExitCode.BAD_FILE)


class Excerpt(io.RawIOBase):
    """One part of a file as a file of its own, for libsndfile."""

    def __init__(self, file: BinaryIO, part: Part) -> None:
        self._file, self._part = file, part
        self._at = 0

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        size = self._part.end - self._part.begin
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: size}[whence]
        self._at = min(max(0, base + offset), size)  # a broken header may send it anywhere
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, out: Any) -> int:
        at = self._part.begin + self._at
        data = bytearray(_read(self._file, at, min(len(out), self._part.end - at)))
        for place, mended in self._part.mended.items():
            for offset, byte in enumerate(mended, start=place - at):
                if 0 <= offset < len(data):
                    data[offset] = byte
        out[: len(data)] = data
        self._at += len(data)
        return len(data)


class _Wrong(Exception):  # noqa: N818  # never leaves this module
    def __init__(self, what: str, hint: str) -> None:
        super().__init__(what)
        self.what, self.hint = what, hint


def _cut_off(here: int, promised: int) -> _Wrong:
    share = int(100 * here / promised)
    return _Wrong(
        f"is cut off: {share} % of the sound is there that its header promises",
        "Copy it again, or convert what is there: ffmpeg -i RECORDING recording.flac",
    )


def _joined() -> _Wrong:
    return _Wrong("holds more than one recording", "Split it into files of one recording each.")


def _read(file: BinaryIO, at: int, count: int) -> bytes:
    file.seek(at)
    return file.read(max(0, count))


def _behind_tag(file: BinaryIO, size: int) -> int:
    """Where the sound's own file begins behind a tag of the ID3 kind (title, picture)."""
    head = _read(file, 0, 10)
    if len(head) < 10 or head[:3] != b"ID3" or max(head[6:10]) > 0x7F:
        return 0
    length = 10 + (head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9])
    return length if length < size else 0


# ---------------------------------------------------------------- chunks: WAV, AIFF, CAF, Wave64


def _chunked(file: BinaryIO, size: int, layout: _Layout, *, is_64: bool) -> Part:
    at, found = layout.first, None
    long_length: tuple[int, int] | None = None  # RF64: where the length of the sound really stands, and it
    for _ in range(_MOST_CHUNKS):
        if at + layout.head > size:
            break
        head = _read(file, at, layout.head)
        name, (length,) = head[:4], struct.unpack(layout.length, head[layout.name_bytes :])
        body = at + layout.head
        length_at = at + layout.name_bytes
        if layout.counts_itself:
            length = max(0, length - layout.head)
        if name == b"ds64" and is_64:
            long_length = body + 8, *struct.unpack("<Q", _read(file, body + 8, 8).ljust(8, b"\0"))
        if name == layout.sound:
            if found is not None:
                raise _joined()
            if long_length is not None and length == 0xFFFF_FFFF:
                length_at, length = long_length
            found = _Sound(length_at, body, length)
            if body + length > size:
                break
        elif body + length > size + 1 or (found is not None and not _is_other_chunk(name)):
            break
        at = body + length
        at += -at % layout.even
    if found is None:
        return Part(0, size)  # libsndfile has the words for it
    return _with_true_length(file, size, layout, found, rest=at)


def _is_other_chunk(name: bytes) -> bool:
    return name not in _LAYOUTS and all(0x20 <= byte <= 0x7E for byte in name)


def _with_true_length(file: BinaryIO, size: int, layout: _Layout, sound: _Sound, *, rest: int) -> Part:
    """rest: where the walk over the chunks ended."""
    body, length = sound.body, sound.length
    here = size - body
    is_long = sound.length_at < body - layout.head  # in RF64's own chunk
    unknown = _UNKNOWN_64 if layout.length[1] == "Q" or is_long else _UNKNOWN_32
    if here < length < unknown:
        raise _cut_off(here, length)
    if length <= here:
        if _read(file, rest, 4) in _LAYOUTS:
            raise _joined()
        if size - rest < layout.head or rest > body + length + layout.even:
            return Part(0, size)  # it is as it should be: nothing follows, or what is no sound
    if is_long:
        mended = struct.pack("<Q", here)
    else:
        true = here + (layout.head if layout.counts_itself else 0)
        mended = struct.pack(layout.length, min(true, 0xFFFF_FFFF) if layout.length[1] == "I" else true)
    return Part(0, size, {sound.length_at: mended})


def _sun(file: BinaryIO, size: int, order: str) -> Part:
    body, length = struct.unpack(f"{order}II", _read(file, 4, 8).ljust(8, b"\0"))
    here = max(0, size - body)
    if here < length < _UNKNOWN_32:
        raise _cut_off(here, length)
    return Part(0, size, {8: struct.pack(f"{order}I", min(here, 0xFFFF_FFFF))})


# ---------------------------------------------------------------- streams: Ogg, FLAC, MP3


def _ogg(file: BinaryIO, size: int) -> Iterator[Part]:
    """The links of a chain, each with its first and last page. An Ogg page says where the next one begins."""
    begin, at, count = 0, 0, 0
    tracks: set[bytes] = set()  # serial numbers of the audio in this link
    open_: set[bytes] = set()  # those that have not ended
    beginning = True
    while at + 27 <= size:
        head = _read(file, at, 27 + 255)
        if head[:4] != b"OggS":
            break
        serial, kind, lacing = head[14:18], head[5], head[27 : 27 + head[26]]
        if kind & 2:
            if not beginning:
                if open_:
                    raise _unfinished()
                yield Part(begin, at)
                begin, tracks, count = at, set(), count + 1
                if count > _MOST_PARTS:
                    raise _joined()
            if _read(file, at + 27 + len(lacing), 8).startswith(_OGG_AUDIO):
                tracks.add(serial)
                open_.add(serial)
            if len(tracks) > 1:
                raise _Wrong("holds several recordings at the same time", CONVERT)
        beginning = bool(kind & 2)
        if kind & 4:
            open_.discard(serial)
        at += 27 + len(lacing) + sum(lacing)
    if open_ or at > size:
        raise _unfinished()
    if size - at > 4 and _find(file, (b"OggS",), at, size) is not None:
        raise _Wrong("is damaged in the middle", "Copy it again.")
    yield Part(begin, min(at, size) or size)


def _unfinished() -> _Wrong:
    return _Wrong("is cut off: its end is not there", "Copy or record it again.")


def _flac(file: BinaryIO, begin: int, size: int) -> Iterator[Part]:
    count = 0
    while (following := _find(file, _FLAC_BEGIN, begin + 4, size)) is not None:
        yield Part(begin, following)
        begin, count = following, count + 1
        if count > _MOST_PARTS:
            raise _joined()
    yield Part(begin, size)


def _is_mp3(head: bytes) -> bool:
    return len(head) > 1 and head[0] == 0xFF and head[1] in (0xFB, 0xFA, 0xF3, 0xF2, 0xE3, 0xE2)


def _mp3(file: BinaryIO, begin: int, size: int) -> Part:
    """Only of an MP3 that says its length can we know that libsndfile reads it whole."""
    head = _read(file, begin, 512)
    at = max(head.find(b"Xing"), head.find(b"Info"))
    flags = struct.unpack(">I", head[at + 4 : at + 8])[0] if 0 < at < len(head) - 16 else 0
    if flags & 3 != 3:
        raise _Wrong("is an MP3 file that does not say how long it is", CONVERT)
    (length,) = struct.unpack(">I", head[at + 12 : at + 16])
    if size - begin < length * 0.99:
        raise _cut_off(size - begin, length)
    if _is_mp3(_read(file, begin + length, 2)):
        raise _joined()
    return Part(begin, size)


def _find(file: BinaryIO, signs: tuple[bytes, ...], begin: int, end: int) -> int | None:
    """Where one of `signs` (all of one length) comes first."""
    length = len(signs[0])
    for at in range(begin, end, _BLOCK):
        block = _read(file, at, min(_BLOCK + length - 1, end - at))
        found = [place for sign in signs if (place := block.find(sign)) >= 0]
        if found:
            return at + min(found)
    return None
