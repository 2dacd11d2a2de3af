"""What the study of GeNAS reads: supernets that differ in their seeds, architectures, and their worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from raynas.errors import InputError
from raynas.oneshot.about import About, find, read_about
from raynas.seeding import derive, generator
from raynas.storage import absolute
from raynas.studies._images import find_images
from raynas.studies._truth import (
    TEST,
    VALID,
    Floats,
    Indices,
    ceiling,
    final,
    rounded,
    tested,
    there,
    validated,
)

if TYPE_CHECKING:
    from raynas.benchmarks import Part, Table
    from raynas.data.images import DatasetSpec
    from raynas.spaces import Architecture
    from raynas.studies.genas import Genas

_PLACES = ("root", "path")
_ALIKE = (
    "space",
    "skeleton",
    "dataset",
    "epochs",
    "share_across_cells",
    "labels",
    "image_shape",
    "n_classes",
)


@dataclass(frozen=True)
class Trained:
    """A supernet on disk.

    Attributes:
        uri: Of its directory.
        about: What it is.
        seed: Of the noise and the images that its sub-networks are measured with.
    """

    uri: str
    about: About
    seed: int


@dataclass(frozen=True, eq=False)
class Material:
    """What is measured, and what it is worth.

    Attributes:
        supernets: Alike but for their seeds.
        spec: The images.
        device: Where they lie.
        n_valid: Validation images; None for all.
        table: Where the truth is from.
        part: The trainings whose test accuracy is the truth.
        n_there: Architectures that the table has.
        indices: ``(n,)`` of those that were drawn, in the order in which they were.
        architectures: The same.
        truth: ``(n,)`` final test accuracies in percent, the mean over the table's seeds.
        valid: ``(n,)`` final validation accuracies likewise; None where the table has none.
        ceiling: Kendall's tau of the truth between two seeds of the table; NaN if there is one seed.
        lives: ``(n,)`` whether a path leads through the architecture.
        processes: That measure.
    """

    supernets: tuple[Trained, ...]
    spec: DatasetSpec
    device: str
    n_valid: int | None
    table: Table
    part: Part
    n_there: int
    indices: Indices
    architectures: tuple[Architecture, ...]
    truth: Floats
    valid: Floats | None
    ceiling: float
    lives: npt.NDArray[np.bool_]
    processes: int


def read(table: Table, options: Genas) -> Material:
    """Reads supernets and table.

    Raises:
        InputError: A supernet is missing, or not like the first, or of another space than the table's; or
            the images, or the accuracies are not there; or an angle has no initial weights.
    """
    supernets = _supernets(options.supernet, options.seed)
    first = supernets[0]
    first.about.require(space=table.about.space, at=first.uri)
    if "angle" in options.measures:
        _require_initial(supernets)
    own = str(first.about.dataset["name"])
    with_truth = {part.dataset for part in table.parts if TEST in part.known}
    part = tested(table, options.dataset or (own if own in with_truth else None))
    of_valid = validated(table, part)
    known = there(table, part)
    rng = generator(options.seed, "study", "genas", "architectures")
    indices = rng.choice(known, min(options.architectures, known.size), replace=False)
    architectures = tuple(table.space.at(index) for index in indices.tolist())
    has_valid = (
        of_valid is not None
        and np.isin(indices, table.architectures(of_valid.dataset, of_valid.schedule)).all()
    )
    return Material(
        supernets=supernets,
        spec=_images(first.about, options),
        device=options.device,
        n_valid=options.n_valid,
        table=table,
        part=part,
        n_there=known.size,
        indices=indices,
        architectures=architectures,
        truth=rounded(final(table, TEST, part, indices)),
        valid=rounded(final(table, VALID, of_valid, indices)) if of_valid and has_valid else None,
        ceiling=ceiling(table, part, indices),
        lives=_lives(table, architectures),
        processes=options.processes,
    )


def _supernets(paths: Sequence[str], seed: int) -> tuple[Trained, ...]:
    made: list[Trained] = []
    for place in (one for path in paths for one in find(path)):
        about = read_about(place)
        # by the weights, so that the order in which supernets are named is of no influence
        made.append(Trained(absolute(place), about, derive(seed, "study", "genas", about.fingerprint)))
    first = made[0]
    for number, other in enumerate(made[1:], 1):
        for name in _ALIKE:
            own, due = (_plain(getattr(one.about, name)) for one in (other, first))
            if own != due:
                raise InputError(
                    f"{other.uri}: {name} is {own}, and {due} in {first.uri}; means are over supernets that "
                    "differ in their seeds alone, so give the others to a study of their own"
                )
        for before in made[:number]:
            if other.about.fingerprint == before.about.fingerprint:
                raise InputError(f"{other.uri}: has the weights of {before.uri}; name each supernet once")
    return tuple(made)


def _plain(value: object) -> object:
    """Without the folders of a dataset's files."""
    return {k: v for k, v in value.items() if k not in _PLACES} if isinstance(value, dict) else value


def _require_initial(supernets: Sequence[Trained]) -> None:
    from raynas.oneshot.trained import load

    for one in supernets:
        if not load(one.uri).initial:
            raise InputError(
                f"{one.uri}: the weights from before training were not kept, and the angle is between them "
                "and the trained ones; give accuracy alone as measures"
            )


def _images(about: About, options: Genas) -> DatasetSpec:
    if options.images is not None:
        return find_images(options.images, at="images", root=options.root)
    fields = {name: value for name, value in about.dataset.items() if name != "name"}
    if options.root is not None:
        fields["root"] = options.root
    return find_images(str(about.dataset["name"]), at=options.supernet[0], **fields)


def _lives(table: Table, architectures: Sequence[Architecture]) -> npt.NDArray[np.bool_]:
    from raynas.oneshot.path import living
    from raynas.supernets.layout import Layout

    layout = Layout(table.space)
    alive = (living(layout, layout.alive_of(architecture)) for architecture in architectures)
    return np.array([any(rows.any() for rows in kinds.values()) for kinds in alive])
