"""What an H.264 sequence parameter set says about size and reordering (ITU-T H.264, 7.3.2.1.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_EXTENDED_PROFILES: Final = frozenset(
    {44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 244}
)
_BASELINE: Final = 66
_EXPLICIT_ASPECT_RATIO: Final = 255
_NO_REORDERING_POC_TYPE: Final = 2
_LUMA_4_4_4: Final = 3


class ParameterError(ValueError):
    """The parameter set is cut or damaged."""


@dataclass(frozen=True, slots=True)
class SequenceParameters:
    """The facts of a sequence parameter set.

    Attributes:
        width: Width in pixels after cropping.
        height: Height in pixels after cropping.
        reorders: Whether pictures may be shown in another order than decoded: True when it
            promises reordered pictures, False when it rules them out, None when it does not say.
    """

    width: int
    height: int
    reorders: bool | None


def parse_h264_sps(nal_unit: bytes) -> SequenceParameters:
    """Read a sequence parameter set, given as a NAL unit without its start code.

    Raises:
        ParameterError: It is cut or damaged.
    """
    bits = _Bits(nal_unit[1:].replace(b"\x00\x00\x03", b"\x00\x00"))
    profile = bits.read(8)
    bits.read(16)  # constraints and level
    bits.exp_golomb()  # its id
    chroma_format = 1
    if profile in _EXTENDED_PROFILES:
        chroma_format = _skip_format(bits)
    bits.exp_golomb()  # log2_max_frame_num_minus4
    order_type = _skip_picture_order(bits)
    bits.exp_golomb()  # max_num_ref_frames
    bits.read(1)  # gaps_in_frame_num_value_allowed_flag
    width = (bits.exp_golomb() + 1) * 16
    map_units = bits.exp_golomb() + 1
    is_progressive = bits.read(1)
    height = map_units * 16 * (2 - is_progressive)
    if not is_progressive:
        bits.read(1)  # mb_adaptive_frame_field_flag
    bits.read(1)  # direct_8x8_inference_flag
    if bits.read(1):
        step_x = 2 if chroma_format in (1, 2) else 1
        step_y = (2 if chroma_format == 1 else 1) * (2 - is_progressive)
        width -= step_x * (bits.exp_golomb() + bits.exp_golomb())
        height -= step_y * (bits.exp_golomb() + bits.exp_golomb())
    if width <= 0 or height <= 0:
        raise ParameterError("nothing is left of the picture after cropping")
    reorders = _usability_reorders(bits) if bits.read(1) else None
    if profile == _BASELINE or order_type == _NO_REORDERING_POC_TYPE:
        reorders = False
    return SequenceParameters(width, height, reorders)


def _skip_format(bits: _Bits) -> int:
    """Skip what the profiles above Main add; return `chroma_format_idc`."""
    chroma_format = bits.exp_golomb()
    if chroma_format == _LUMA_4_4_4:
        bits.read(1)
    bits.exp_golomb()
    bits.exp_golomb()
    bits.read(1)
    if bits.read(1):
        for number in range(8 if chroma_format != _LUMA_4_4_4 else 12):
            if bits.read(1):
                _skip_scaling_list(bits, 16 if number < 6 else 64)  # noqa: PLR2004 - six lists of 4x4
    return chroma_format


def _skip_scaling_list(bits: _Bits, size: int) -> None:
    last, following = 8, 8
    for _ in range(size):
        if following:
            following = (last + bits.signed_exp_golomb()) % 256
        last = following or last


def _skip_picture_order(bits: _Bits) -> int:
    """Skip the picture order count; return its type."""
    order_type = bits.exp_golomb()
    if order_type == 0:
        bits.exp_golomb()
    elif order_type == 1:
        bits.read(1)
        bits.signed_exp_golomb()
        bits.signed_exp_golomb()
        for _ in range(bits.exp_golomb()):
            bits.signed_exp_golomb()
    return order_type


def _usability_reorders(bits: _Bits) -> bool | None:
    """Read the usability information up to `max_num_reorder_frames`."""
    _skip_looks(bits)
    if bits.read(1):
        bits.read(65)  # timing: two counts of 32 bits and a flag
    has_decoder_model = False
    for _ in range(2):
        if bits.read(1):
            has_decoder_model = True
            _skip_decoder_model(bits)
    if has_decoder_model:
        bits.read(1)
    bits.read(1)  # pic_struct_present_flag
    if not bits.read(1):
        return None
    bits.read(1)
    for _ in range(4):
        bits.exp_golomb()
    return bits.exp_golomb() > 0


def _skip_looks(bits: _Bits) -> None:
    """Skip aspect ratio, overscan, colours and the place of chroma samples."""
    if bits.read(1) and bits.read(8) == _EXPLICIT_ASPECT_RATIO:
        bits.read(32)
    if bits.read(1):
        bits.read(1)
    if bits.read(1):
        bits.read(4)
        if bits.read(1):
            bits.read(24)
    if bits.read(1):
        bits.exp_golomb()
        bits.exp_golomb()


def _skip_decoder_model(bits: _Bits) -> None:
    count = bits.exp_golomb() + 1
    bits.read(8)
    for _ in range(count):
        bits.exp_golomb()
        bits.exp_golomb()
        bits.read(1)
    bits.read(20)


class _Bits:
    """Reads bits from the most significant one on."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "big")
        self._left = len(data) * 8

    def read(self, count: int) -> int:
        self._left -= count
        if self._left < 0:
            raise ParameterError("the parameter set is cut")
        return self._value >> self._left & (1 << count) - 1

    def exp_golomb(self) -> int:
        zeros = 0
        while not self.read(1):
            zeros += 1
        if zeros > 32:  # noqa: PLR2004 - the standard's longest code
            raise ParameterError("the parameter set is damaged")
        return (1 << zeros) - 1 + self.read(zeros)

    def signed_exp_golomb(self) -> int:
        value = self.exp_golomb()
        return (value + 1) // 2 if value % 2 else -(value // 2)
