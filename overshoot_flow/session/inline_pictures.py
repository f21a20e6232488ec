"""The pictures of one stream as they travel in questions, for as long as a window needs them.

Frames become JPEG files at once. Access units are kept as they are: a window that begins with a
key frame and of which a model is shown every picture is cut out as a video, without encoding
anew. The other windows' pictures are decoded from the key frame before them, and become JPEG.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from overshoot_flow.errors import MediaError
from overshoot_flow.inference import Inference
from overshoot_flow.media.access_units import AccessUnit, Picture
from overshoot_flow.media.gop_buffer import MAX_HELD_BYTES, GopBuffer
from overshoot_flow.media.jpeg import JpegEncoder
from overshoot_flow.media.muxing import MP4_MEDIA_TYPE, mp4_of
from overshoot_flow.protocol.question_size import frames_shown
from overshoot_flow.protocol.v1_chat import DataUrl, ImagePart, MediaPart, VideoPart
from overshoot_flow.protocol.windows import evenly
from overshoot_flow.transport_config import Inline

MAX_CUT_BYTES: Final = 16 * 1024 * 1024
"""Of a window as video; a larger one travels as pictures, of whose size the user decides."""

_JPEG_MEDIA_TYPE: Final = "image/jpeg"

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WindowMedia:
    """What a window can be shown by.

    Attributes:
        width: Width of its pictures in pixels.
        height: Height of its pictures in pixels.
        seen_pts_us: Which pictures are to be looked at.
        jpegs: JPEG files by pts, of those that some model is shown as pictures; one that is
            damaged has none.
        video: An MP4 file of exactly the pictures that are to be looked at, or None.
    """

    width: int
    height: int
    seen_pts_us: tuple[int, ...]
    jpegs: Mapping[int, bytes] = field(repr=False, default_factory=dict)
    video: bytes | None = field(repr=False, default=None)

    @property
    def size_bytes(self) -> int:
        """What it holds."""
        return sum(map(len, self.jpegs.values())) + len(self.video or b"")

    def parts(self, inference: Inference) -> tuple[MediaPart, ...]:
        """Return the media of the question, as many pictures as the model can take.

        Raises:
            ConfigurationError: Not a single picture fits into a question.
        """
        shown = self.shown_to(inference)
        if self.video is not None and self.fits_as_video(inference):
            return (VideoPart(DataUrl(MP4_MEDIA_TYPE, self.video)),)
        return tuple(
            ImagePart(DataUrl(_JPEG_MEDIA_TYPE, self.jpegs[pts_us]))
            for pts_us in shown
            if pts_us in self.jpegs
        )

    def shown_to(self, inference: Inference) -> tuple[int, ...]:
        """Return the pts of the pictures that fit into the question."""
        return evenly(self.seen_pts_us, frames_shown(inference, self.width, self.height))

    def fits_as_video(self, inference: Inference) -> bool:
        """Whether the model takes video, and all pictures that are to be looked at."""
        count = len(self.shown_to(inference))
        return count == len(self.seen_pts_us) and inference.model_limits.asks_as_video(count)


class InlinePictures:
    """Keeps each picture that a window looks at, encoded once; not thread-safe.

    Its memory is bounded by the longest window: the caller forgets what no window needs.

    Args:
        settings: Quality and size.
        max_encoded_bytes: Access units beyond it are decoded before it is known whether their
            window travels as video.
    """

    def __init__(self, settings: Inline, max_encoded_bytes: int = MAX_HELD_BYTES) -> None:
        self._settings = settings
        self._encoder = JpegEncoder(settings.jpeg_quality, settings.max_height)
        self._gops = GopBuffer(max_encoded_bytes)
        self._jpegs: dict[int, bytes] = {}
        self._seen_units: set[int] = set()
        self._size = (0, 0)
        self._damaged = 0

    @property
    def damaged(self) -> int:
        """Pictures that could not be shown."""
        return self._damaged + self._gops.undecodable

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the newest picture, as it is shown."""
        return self._size

    @property
    def wants_decoding(self) -> bool:
        """Whether it holds too much that is encoded, so that `decode` is to be called."""
        return self._gops.is_full

    def add(self, picture: Picture, *, is_seen: bool) -> None:
        """Keep the next picture; `is_seen` says whether some window looks at it."""
        self._size = self._encoder.size_of(picture.width, picture.height)
        if isinstance(picture, AccessUnit):
            self._gops.push(picture)
            if is_seen:
                self._seen_units.add(picture.pts_us)
        elif is_seen:
            self._encode(picture.pts_us, (picture.width, picture.height, picture.data))

    def decode(self, first_us: int, last_us: int) -> None:
        """Decode what windows look at up to `last_us`, from `first_us` on."""
        for unit, picture in self._gops.pictures(first_us, last_us):
            if unit.pts_us in self._seen_units:
                self._encode(unit.pts_us, picture)
        if self._gops.is_full:
            self._gops.forget_decoded()

    def media_of(
        self,
        pictures_pts_us: Sequence[int],
        seen_pts_us: Sequence[int],
        questions: Sequence[Inference],
    ) -> WindowMedia | None:
        """Return what shows a window to the models of `questions`; None if nothing does.

        Args:
            pictures_pts_us: All pictures of the window, in order.
            seen_pts_us: Those of them that are to be looked at.
            questions: All that may be asked about it.

        Raises:
            ConfigurationError: Not a single picture fits into a question.
        """
        width, height = self._size
        bare = WindowMedia(width=width, height=height, seen_pts_us=tuple(seen_pts_us))
        video = None
        if any(bare.fits_as_video(each) for each in questions):
            video = self._cut(pictures_pts_us, seen_pts_us)
        # What no model is shown is not kept while the question is under way.
        wanted = {
            pts_us
            for each in questions
            if video is None or not bare.fits_as_video(each)
            for pts_us in bare.shown_to(each)
        }
        if any(pts_us in self._seen_units and pts_us not in self._jpegs for pts_us in wanted):
            self.decode(pictures_pts_us[0], max(wanted))
        jpegs = {pts_us: self._jpegs[pts_us] for pts_us in wanted if pts_us in self._jpegs}
        if video is None and not jpegs:
            return None
        return replace(bare, jpegs=jpegs, video=video)

    def forget_before(self, pts_us: int) -> None:
        """No window to come looks at what was before `pts_us`."""
        self._gops.forget_before(pts_us)
        self._seen_units = {at_us for at_us in self._seen_units if at_us >= pts_us}
        self._jpegs = {at_us: jpeg for at_us, jpeg in self._jpegs.items() if at_us >= pts_us}

    def _cut(self, pictures_pts_us: Sequence[int], seen_pts_us: Sequence[int]) -> bytes | None:
        """Return a video of exactly what is looked at; None where that cannot be cut out."""
        if len(pictures_pts_us) != len(seen_pts_us):
            return None
        units = self._gops.between(pictures_pts_us[0], pictures_pts_us[-1])
        if len(units) != len(pictures_pts_us) or not units[0].is_keyframe:
            return None
        sizes = {(unit.width, unit.height) for unit in units}
        is_low = self._settings.max_height is None or units[0].height <= self._settings.max_height
        total_bytes = sum(len(unit.data) for unit in units)
        if len(sizes) > 1 or not is_low or total_bytes > MAX_CUT_BYTES:
            return None
        try:
            return mp4_of(units)
        except MediaError as error:
            _logger.warning("a window travels as pictures: %s", error)
            return None

    def _encode(
        self, pts_us: int, picture: tuple[int, int, bytes | bytearray | memoryview]
    ) -> None:
        try:
            self._jpegs[pts_us] = self._encoder.encode(*picture)
        except MediaError:
            self._damaged += 1
