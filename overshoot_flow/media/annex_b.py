"""From a demuxer's packets to access units that a decoder can begin with.

MP4 and some RTSP servers keep the parameter sets beside the pictures. Whoever joins a stream later
has only the pictures, so the sets are repeated in front of every key frame.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from types import MappingProxyType
from typing import Final

from overshoot_flow.errors import MediaError
from overshoot_flow.media.access_units import VideoCodec
from overshoot_flow.media.bitstream import nal_length_size
from overshoot_flow.media.h264_parameters import (
    ParameterError,
    SequenceParameters,
    parse_h264_sps,
)

_START_CODE: Final = b"\x00\x00\x00\x01"
_SHORT_START_CODE: Final = b"\x00\x00\x01"


@dataclass(frozen=True, slots=True)
class _NalTypes:
    """The numbers of NAL unit types; parameter sets in the order in which a decoder needs them."""

    parameter_sets: tuple[int, ...]
    sequence: int
    slices: range
    keyframes: range
    delimiter: int


_TYPES: Final = MappingProxyType(
    {
        "h264": _NalTypes((7, 8), 7, range(1, 6), range(5, 6), 9),
        "h265": _NalTypes((32, 33, 34), 33, range(32), range(16, 22), 35),
    }
)


@dataclass(frozen=True, slots=True)
class EncodedPictureData:
    """One picture as Annex B.

    Attributes:
        data: The access unit; at a key frame with all parameter sets.
        is_keyframe: Whether a decoder can begin here: it is one, and the parameter sets are known.
        parameters: What the newest sequence parameter set says (H.264 only), or None.
    """

    data: bytes
    is_keyframe: bool
    parameters: SequenceParameters | None


class AnnexBWriter:
    """Turns packets of one stream into Annex B access units.

    Args:
        codec: How the packets are encoded.
        extradata: The stream's extradata, `avcC` or `hvcC` or Annex B, or None.

    Attributes:
        parameters: What the newest sequence parameter set says (H.264 only), or None.

    Raises:
        MediaError: The extradata is damaged.
    """

    def __init__(self, codec: VideoCodec, extradata: bytes | None) -> None:
        self._codec = codec
        self._types = _TYPES[codec]
        self._sets: dict[int, tuple[bytes, ...]] = {}
        self.parameters: SequenceParameters | None = None
        self._length_size, nal_units = _read_extradata(codec, extradata or b"")
        self._remember(nal_units, in_place_of_old=True)

    def picture(self, packet: bytes) -> EncodedPictureData | None:
        """Convert one packet, which holds one access unit; None if it holds no picture.

        Raises:
            MediaError: The packet is damaged.
        """
        if self._length_size:
            nal_units = _length_prefixed(packet, self._length_size)
            packet = b"".join(part for unit in nal_units for part in (_START_CODE, unit))
        leading, slice_at = self._before_first_slice(packet)
        if slice_at is None:
            self._remember(leading, in_place_of_old=False)
            return None
        kind = self._type(packet[slice_at + len(_SHORT_START_CODE)])
        is_keyframe = kind in self._types.keyframes
        self._remember(leading, in_place_of_old=is_keyframe)
        if not is_keyframe or set(self._sets) != set(self._types.parameter_sets):
            return EncodedPictureData(packet, is_keyframe=False, parameters=self.parameters)
        is_delimiter = [self._type(unit[0]) == self._types.delimiter for unit in leading]
        delimiters = sum(is_delimiter[:1])
        others = [unit for unit in leading[delimiters:] if not self._is_parameter_set(unit)]
        sets = [unit for kind in self._types.parameter_sets for unit in self._sets[kind]]
        head = [
            part for unit in (*leading[:delimiters], *sets, *others) for part in (_START_CODE, unit)
        ]
        data = b"".join((*head, b"\x00", packet[slice_at:]))
        return EncodedPictureData(data, is_keyframe=True, parameters=self.parameters)

    def _before_first_slice(self, packet: bytes) -> tuple[list[bytes], int | None]:
        """Return the NAL units before the first slice, and where its start code is."""
        leading: list[bytes] = []
        start = packet.find(_SHORT_START_CODE)
        while 0 <= start < len(packet) - len(_SHORT_START_CODE):
            if self._type(packet[start + len(_SHORT_START_CODE)]) in self._types.slices:
                return leading, start
            following = packet.find(_SHORT_START_CODE, start + len(_SHORT_START_CODE))
            end = following if following >= 0 else len(packet)
            leading.extend(split_annex_b(packet[start:end]))
            start = following
        return leading, None

    def _type(self, header: int) -> int:
        return header & 31 if self._codec == "h264" else header >> 1 & 63

    def _is_parameter_set(self, nal_unit: bytes) -> bool:
        return self._type(nal_unit[0]) in self._types.parameter_sets

    def _remember(self, nal_units: Iterable[bytes], *, in_place_of_old: bool) -> None:
        """Keep parameter sets; at a key frame the sets of a kind replace all older ones."""
        for kind, units in groupby(
            sorted(filter(self._is_parameter_set, nal_units), key=lambda unit: self._type(unit[0])),
            key=lambda unit: self._type(unit[0]),
        ):
            older = () if in_place_of_old else self._sets.get(kind, ())
            # Equal sets are kept once; the order is the one in which they came.
            self._sets[kind] = tuple(dict.fromkeys((*older, *units)))
            if kind == self._types.sequence and self._codec == "h264":
                try:
                    self.parameters = parse_h264_sps(self._sets[kind][-1])
                except ParameterError as error:
                    raise MediaError(f"the video's parameters cannot be read: {error}") from error


def split_annex_b(data: bytes) -> Iterator[bytes]:
    """Yield the NAL units of an Annex B byte stream, without start codes and padding."""
    start = data.find(_SHORT_START_CODE)
    while start >= 0:
        start += len(_SHORT_START_CODE)
        following = data.find(_SHORT_START_CODE, start)
        unit = data[start:following] if following >= 0 else data[start:]
        # A NAL unit never ends in a zero byte: those belong to the next start code or are padding.
        if unit := unit.rstrip(b"\x00"):
            yield unit
        start = following


def _length_prefixed(data: bytes, length_size: int) -> Iterator[bytes]:
    position = 0
    while position < len(data):
        start = position + length_size
        position = start + int.from_bytes(data[position:start], "big")
        if start >= len(data) or position > len(data):
            raise MediaError("an encoded picture is cut")
        if position > start:
            yield data[start:position]


def _read_extradata(codec: VideoCodec, extradata: bytes) -> tuple[int, Iterator[bytes]]:
    """Return the size of length prefixes, 0 for Annex B, and the parameter sets."""
    if not extradata.startswith(b"\x01"):
        return 0, split_annex_b(extradata)
    try:
        if codec == "h264":
            return nal_length_size(extradata), iter(_avcc_sets(extradata))
        return (extradata[21] & 3) + 1, iter(_hvcc_sets(extradata))
    except IndexError:
        raise MediaError("the video's parameter sets are cut") from None


def _avcc_sets(extradata: bytes) -> list[bytes]:
    found, position = [], 5
    for mask in (31, 255):
        count = extradata[position] & mask
        position += 1
        for _ in range(count):
            unit, position = _sized(extradata, position)
            found.append(unit)
    return found


def _hvcc_sets(extradata: bytes) -> list[bytes]:
    found, position = [], 23
    for _ in range(extradata[22]):
        count = int.from_bytes(extradata[position + 1 : position + 3], "big")
        position += 3
        for _ in range(count):
            unit, position = _sized(extradata, position)
            found.append(unit)
    return found


def _sized(data: bytes, position: int) -> tuple[bytes, int]:
    start = position + 2
    end = start + int.from_bytes(data[position:start], "big")
    if end > len(data) or end == start:
        raise IndexError
    return data[start:end], end
