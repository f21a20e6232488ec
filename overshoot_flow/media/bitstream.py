"""The two facts about an H.264 access unit that decide whether it must be decoded.

Containers rarely say which pictures nobody refers to (MP4 could, in its `sdtp` box, and is almost
never written with one), but the first slice of every access unit does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_SLICE_TYPES: Final = range(1, 6)
_IDR: Final = 5
_NON_IDR: Final = 1
_B_SLICES: Final = frozenset({1, 6})
_I_SLICES: Final = frozenset({2, 7})
_START_CODE: Final = b"\x00\x00\x01"
_AVCC_LENGTH_SIZE_AT: Final = 4
_SLICE_HEADER_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class AccessUnitFacts:
    """What the first slice says.

    Attributes:
        is_reference: Whether later pictures may be predicted from this one.
        is_intra: Whether the first slice is intra-coded (an IDR or I slice).
    """

    is_reference: bool
    is_intra: bool


_UNKNOWN: Final = AccessUnitFacts(is_reference=True, is_intra=False)


def nal_length_size(extradata: bytes | None) -> int:
    """Return the size of NAL length prefixes in bytes, 0 for Annex B start codes."""
    if extradata is not None and len(extradata) > _AVCC_LENGTH_SIZE_AT and extradata[0] == 1:
        return (extradata[_AVCC_LENGTH_SIZE_AT] & 3) + 1
    return 0


def inspect_h264(data: memoryview, length_size: int) -> AccessUnitFacts:
    """Look at the first slice of an access unit.

    Args:
        data: The access unit, as bytes.
        length_size: What `nal_length_size` said.

    Returns:
        The facts; an access unit without a readable slice counts as a reference.
    """
    start = _first_slice(data, length_size) if length_size else _first_slice_annex_b(data)
    if start is None:
        return _UNKNOWN
    header = data[start]
    is_intra = header & 31 == _IDR or (
        header & 31 == _NON_IDR
        and _slice_type(bytes(data[start + 1 : start + 1 + _SLICE_HEADER_BYTES])) in _I_SLICES
    )
    return AccessUnitFacts(is_reference=bool(header & 0x60), is_intra=is_intra)


def is_b_picture(data: bytes) -> bool:
    """Say whether the first slice of an H.264 access unit in Annex B is a B slice."""
    start = _first_slice_annex_b(memoryview(data))
    if start is None or data[start] & 31 != _NON_IDR:
        return False
    return _slice_type(data[start + 1 : start + 1 + _SLICE_HEADER_BYTES]) in _B_SLICES


def continues_idr_picture(data: bytes) -> bool:
    """Say whether the first slice of H.264 in Annex B goes on with an IDR picture begun before."""
    start = _first_slice_annex_b(memoryview(data))
    if start is None or start + 1 >= len(data) or data[start] & 31 != _IDR:
        return False
    # `first_mb_in_slice` is an Exp-Golomb number: it is 0 where its first bit is set.
    return not data[start + 1] & 0x80


def idr_slices(data: bytes) -> bytes:
    """Return H.264 in Annex B from its first slice on, without what stands before."""
    start = _first_slice_annex_b(memoryview(data))
    return b"" if start is None else data[start - len(_START_CODE) :]


def _first_slice(data: memoryview, length_size: int) -> int | None:
    position, end = 0, len(data)
    while position + length_size < end:
        start = position + length_size
        if data[start] & 31 in _SLICE_TYPES:
            return start
        position = start + int.from_bytes(data[position:start], "big")
    return None


def _first_slice_annex_b(data: memoryview) -> int | None:
    # Parameter sets and SEI are short: the first slice is near the start, so copy little first.
    for window in (4096, len(data)):
        head = bytes(data[:window])
        position = head.find(_START_CODE)
        while 0 <= position < len(head) - 3:
            start = position + 3
            if head[start] & 31 in _SLICE_TYPES:
                return start
            position = head.find(_START_CODE, start)
    return None


def _slice_type(header: bytes) -> int | None:
    """Read `slice_type`, the second Exp-Golomb number of a slice header."""
    bits = int.from_bytes(header, "big")
    left = len(header) * 8
    value = None
    for _ in range(2):
        zeros = left - bits.bit_length()
        width = 2 * zeros + 1
        if width > left:
            return None
        left -= width
        value = (bits >> left) - 1
        bits &= (1 << left) - 1
    return value
