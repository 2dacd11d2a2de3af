"""Any sampler of Optuna, by default TPE, as a searcher; each decision of the space is a categorical choice.

A note on design choices: the sampler is driven through a study of ask and tell in memory, in the order of
``raynas.search.ordered``, not through Ray Tune's OptunaSearch, whose proposals depend on timing and cannot
be repeated from a journal.
"""

from __future__ import annotations

import inspect
import logging
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from raynas.assets import suggestion
from raynas.errors import InputError
from raynas.ranges import require_positive
from raynas.search.asktell import SearchContext
from raynas.search.ordered import Ordered, Point
from raynas.spaces import Architecture, SearchSpace

if TYPE_CHECKING:
    import optuna

_UNFIT = {
    "CmaEsSampler": "models numbers only and draws the operations of an architecture at random",
    "QMCSampler": "covers numbers only and draws the operations of an architecture at random",
    "PartialFixedSampler": "takes another sampler, which a configuration cannot give it",
}


@dataclass(frozen=True)
class Optuna:
    """Proposes what a sampler of Optuna suggests; a failed trial is told to it as failed.

    Attributes:
        sampler: Name of a class in ``optuna.samplers`` that can draw categories.
        sampler_options: Its arguments; a ``seed`` among them takes the place of the run's.
        n_proposals: Architectures proposed; one proposed again is not trained again.
        parallelism: Proposals under way at a time.
    """

    sampler: str = "TPESampler"
    sampler_options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    n_proposals: int = 100
    parallelism: int = 4

    def __post_init__(self) -> None:
        require_positive(n_proposals=self.n_proposals, parallelism=self.parallelism)

    def problems(self, space: SearchSpace) -> Iterator[tuple[str, str]]:
        """What cannot work in a space, as (field, message)."""
        try:
            self._sampler(seed=0)
        except _OptionError as error:
            yield error.field, error.message

    def start(self, context: SearchContext) -> Ordered:
        """A study at its beginning.

        Raises:
            InputError: No such sampler, or it does not take these options.
        """
        study = Study(self.seeded(context), lambda trial: _architecture(trial, context.space))
        return Ordered(study, context.objective, n_proposals=self.n_proposals, parallelism=self.parallelism)

    def seeded(self, context: SearchContext) -> optuna.samplers.BaseSampler:
        """The sampler at its beginning.

        Raises:
            InputError: No such sampler, or it does not take these options.
        """
        # Optuna seeds a legacy generator of NumPy, which takes 32 bits.
        return self._sampler(seed=int(context.generator("optuna").integers(2**32)))

    def _sampler(self, *, seed: int) -> optuna.samplers.BaseSampler:
        kinds = _samplers()
        if self.sampler in _UNFIT:
            raise _OptionError(
                "sampler", f"{self.sampler} {_UNFIT[self.sampler]}; use one of {', '.join(kinds)}"
            )
        if self.sampler not in kinds:
            hint = suggestion(self.sampler, list(kinds))
            message = f"unknown sampler '{self.sampler}'{hint} Available: {', '.join(kinds)}"
            raise _OptionError("sampler", message)
        kind = kinds[self.sampler]
        parameters = inspect.signature(kind).parameters
        options = ({"seed": seed} if "seed" in parameters else {}) | dict(self.sampler_options)
        try:
            with _quiet():
                return kind(**options)
        except Exception as error:  # whatever a sampler says of its arguments
            raise _OptionError(
                "sampler_options",
                f"{self.sampler} refuses {dict(self.sampler_options)}: {error}; it takes "
                f"{', '.join(parameters)}. Other samplers: {', '.join(kinds)}",
            ) from error


class _OptionError(InputError):
    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message


class Study:
    """A study of Optuna's as an algorithm for ``raynas.search.ordered``.

    Args:
        sampler: At its beginning.
        suggest: Asks a trial of Optuna's for the values of a point.
    """

    def __init__(
        self, sampler: optuna.samplers.BaseSampler, suggest: Callable[[optuna.Trial], Point]
    ) -> None:
        import optuna

        with _quiet():
            self._study = optuna.create_study(sampler=sampler, direction="minimize")
        self._failed = optuna.trial.TrialState.FAIL
        self._suggest = suggest
        self._trials: deque[optuna.Trial] = deque()
        self._exhausted = False

    def propose(self) -> Point | None:
        """What the sampler suggests; None once it has come to its end."""
        if self._exhausted:
            return None
        with _quiet():
            trial = self._study.ask()
            point = self._suggest(trial)
        self._trials.append(trial)
        return point

    def observe(self, point: Point, cost: float | None) -> None:
        """Tells the sampler."""
        trial = self._trials.popleft()
        try:
            with _quiet():
                if cost is None:
                    self._study.tell(trial, state=self._failed)
                else:
                    self._study.tell(trial, cost)
        except RuntimeError as error:
            # Samplers that know when they are done (grid, brute force) stop the study, after it has noted the
            # outcome; a study of ask and tell answers that with an error.
            if "Study.stop" not in str(error):
                raise
            self._exhausted = True


def _architecture(trial: optuna.Trial, space: SearchSpace) -> Architecture:
    return space.suggest(lambda name, choices: str(trial.suggest_categorical(name, choices)))


def _samplers() -> dict[str, type[optuna.samplers.BaseSampler]]:
    """The samplers of Optuna that fit a search space of categories, by name."""
    import optuna

    base = optuna.samplers.BaseSampler
    names = sorted(set(optuna.samplers.__all__) - set(_UNFIT))
    named = ((name, getattr(optuna.samplers, name)) for name in names)
    kinds = {name: kind for name, kind in named if isinstance(kind, type) and issubclass(kind, base)}
    return {name: kind for name, kind in kinds.items() if not inspect.isabstract(kind)}


@contextmanager
def _quiet() -> Iterator[None]:
    """Optuna without its news of each study and its warnings that a feature is experimental."""
    import optuna

    logger = logging.getLogger("optuna")
    level = logger.level
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        logger.setLevel(max(level, logging.WARNING))
        try:
            yield
        finally:
            logger.setLevel(level)
