"""The length of the pieces that an epoch is trained in. A run can stop between two of them."""

SECONDS = 10.0  # that a piece may take
GROWTH = 8  # of a piece over the longest before it: the first ones say little of the others


class Pace:
    """How fast a run goes, and what follows from it. A stride: see `Schedule.stride`."""

    def __init__(self) -> None:
        self._stride_seconds = float("inf")
        self._longest = 0

    def piece(self, left: int) -> int:
        """Choose how many of the strides that are left to take next."""
        in_time = int(SECONDS / self._stride_seconds)
        return max(1, min(left, in_time, GROWTH * self._longest))

    def took(self, strides: int, seconds: float) -> None:
        """Learn from a piece."""
        self._stride_seconds = max(seconds, 1e-9) / strides
        self._longest = max(strides, self._longest)

    def seconds(self, strides: int) -> float:
        """Foretell the time of strides; infinite where none was taken yet."""
        return strides * self._stride_seconds
