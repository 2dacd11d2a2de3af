"""The architectures of a search at their levels, as a scheduler and a searcher share them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from raynas.spaces import Architecture


@dataclass(slots=True)
class Member:
    """One architecture of a pool.

    Attributes:
        architecture: It.
        level: Levels that it has reached; 0 before the first.
        cost: Its objective at that level, lower is better; infinite before the first and after a failure.
        failed: Whether its training ended without a result; it then stays where it is.
    """

    architecture: Architecture | None
    level: int = 0
    cost: float = float("inf")
    failed: bool = False


class Pool:
    """Every architecture that was ever admitted; none is discarded.

    Attributes:
        members: By trial id, in the order of admission.
        room: Architectures that may be admitted before the next results are due.
        batch: Architectures of the batch that is being admitted.
        first: Trial id of the searcher's first proposal.
    """

    def __init__(self) -> None:
        self.members: dict[int, Member] = {}
        self.room = 0
        self.batch = 0
        self.first = 0

    def __len__(self) -> int:
        return len(self.members)

    def ranked(self, *, before: int) -> Iterator[tuple[Architecture, tuple[int, float]]]:
        """Architectures that have reached a level, with their place in the total order.

        A higher level comes first, and within a level the lower cost: accuracies of different epochs are
        never compared.

        Args:
            before: The searcher's proposals of this number or a greater one are left out.

        Yields:
            The architecture and ``(level, -cost)``; the greater the better.
        """
        for trial_id, member in self.members.items():
            if (
                trial_id >= self.first + before
                or not member.level
                or member.failed
                or member.architecture is None
            ):
                continue
            yield member.architecture, (member.level, -member.cost)
