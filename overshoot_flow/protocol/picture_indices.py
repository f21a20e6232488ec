"""Which of a stream's lifetime frame indices show which picture. Pure.

The sender numbers what is handed to it on one connection, repeated pictures included; the service
numbers what it receives. `index = number + offset` holds until a picture is lost on the way, which
lowers the offset. So a picture is located when it is known what the offset was before and after
it: exactly if nothing was lost meanwhile, else within bounds. Only indices that surely show it
count as its own: in doubt a window shows less of itself, never a part of its neighbour.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Located:
    """Where a picture is.

    Attributes:
        first: The first index that surely shows it.
        end: The index after the last one that surely does; no greater than `first` if none does.
        doubt: How many indices each bound was drawn in by.
    """

    first: int
    end: int
    doubt: int = 0

    @property
    def is_sure(self) -> bool:
        """Whether some index surely shows the picture."""
        return self.first < self.end


@dataclass(slots=True)
class PictureIndices:
    """The pictures of one stream, in the order of their pts."""

    _places: dict[int, Located] = field(default_factory=dict)
    _numbers: dict[int, int] = field(default_factory=dict)
    """By pts, of the pictures that are not located, in the order in which they were shown."""

    def shown(self, pts_us: int, number: int) -> None:
        """The picture at `pts_us` was handed to the sender after `number` others.

        One that was shown before, and is not located, is looked for where it is shown now.
        """
        self._numbers.pop(pts_us, None)
        self._numbers[pts_us] = number

    @property
    def unlocated(self) -> int:
        """How many pictures are shown and not located."""
        return len(self._numbers)

    @property
    def newest_shown(self) -> tuple[int, int] | None:
        """Pts and number of the picture that was shown last, if it is not located."""
        return next(reversed(self._numbers.items()), None)

    def is_located(self, pts_us: int) -> bool:
        """Whether it is known where the picture at `pts_us` is."""
        return pts_us in self._places

    def confirm(self, captured: int, low: int, high: int) -> None:
        """Locate the pictures that were followed by others within the first `captured` ones.

        Args:
            captured: How many pictures were handed over when nothing showed the next one yet.
            low: The least offset since the last confirmation.
            high: The greatest one.
        """
        numbers = [*self._numbers.items()]
        ends = [*(number for _, number in numbers[1:]), captured][: len(numbers)]
        for (pts_us, number), end in zip(numbers, ends, strict=True):
            if number >= captured or end > captured:
                break
            self._places[pts_us] = Located(number + high, end + low, high - low)
            del self._numbers[pts_us]

    def newest_is_at(self, index: int) -> None:
        """The picture that was shown last is known to be at `index`."""
        if self._numbers:
            pts_us, _ = self._numbers.popitem()
            self._places[pts_us] = Located(index, index + 1)

    def give_up(self) -> None:
        """It cannot be known any more where the pictures are that are not located."""
        self._places |= dict.fromkeys(self._numbers, Located(0, 0))
        self._numbers.clear()

    def chosen(self, seen_pts_us: Sequence[int]) -> tuple[int, ...]:
        """Return one index for each of these pictures that is surely shown somewhere.

        Of a picture that was repeated, the first one in a row gives its last index and the others
        their first one, so that pictures shown one after another make a run.
        """
        places = [self._places[pts_us] for pts_us in seen_pts_us]
        sure = [place for place in places if place.is_sure]
        return (*(place.end - 1 for place in sure[:1]), *(place.first for place in sure[1:]))

    def doubt(self, pts_us: Sequence[int]) -> int:
        """Return by how many indices the bounds of these pictures were drawn in at most."""
        return max((self._places[each].doubt for each in pts_us), default=0)

    def forget_before(self, pts_us: int) -> None:
        """No picture before `pts_us` is asked for any more."""
        for old in [each for each in self._places if each < pts_us]:
            del self._places[old]
