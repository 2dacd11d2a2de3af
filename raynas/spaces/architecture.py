"""An architecture as a value: which operation sits on which edge."""

from __future__ import annotations

from dataclasses import dataclass

ABSENT = -1
"""In place of an operation: the architecture does not use this edge."""


@dataclass(frozen=True, order=True, slots=True)
class Architecture:
    """One architecture of a search space; hashable, ordered, picklable.

    Made by a ``SearchSpace``, which checks it (``space.architecture(ops)``); the constructor itself does not.

    Attributes:
        space: The name by which the search space was loaded: a shipped name, or the path of a user's YAML
            file.
        ops: One entry an edge, in the order of ``SearchSpace.edges``: an index into the space's
            ``operations``, or ``ABSENT``.
    """

    space: str
    ops: tuple[int, ...]

    def __str__(self) -> str:
        """The benchmark's own notation, which ``SearchSpace.parse`` reads back."""
        from raynas.spaces.loading import get_space  # loading needs this module first

        return get_space(self.space).format(self)
