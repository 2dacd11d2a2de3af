"""What a trained supernet's directory says of it: ``about.json``, which is read without PyTorch.

A supernet is a directory of two files, this one and ``weights.pt``. A run that trains some keeps them below
its ``artifacts/``.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raynas.errors import InputError
from raynas.lookup import name_of
from raynas.storage import ARTIFACTS, Folder, LocalFolder, folder
from raynas.supernets.skeleton import SKELETONS

ABOUT = "about.json"
WEIGHTS = "weights.pt"
DATASETS = "raynas.data.dataset"

_FORMAT = 1
_COMPONENTS = ("skeleton", "dataset")
_PLACES = ("root", "path")  # where a dataset's files lie, which differs from machine to machine


@dataclass(frozen=True)
class About:
    """A trained supernet in plain data.

    Attributes:
        space: Name of its search space.
        kind: Kind of the space.
        skeleton: Its macro skeleton, ``name`` and fields.
        dataset: What it was trained on, likewise.
        image_shape: ``(C, H, W)`` of the images.
        n_classes: Number of logits.
        epochs: How long it was trained.
        seed: Of the training.
        share_across_cells: Whether each step trained one cell in all places.
        labels: ``true``, or ``random`` as in RLNAS.
        fingerprint: SHA-256 of ``weights.pt``.
    """

    space: str
    kind: str
    skeleton: Mapping[str, Any]
    dataset: Mapping[str, Any]
    image_shape: tuple[int, int, int]
    n_classes: int
    epochs: int
    seed: int
    share_across_cells: bool
    labels: str
    fingerprint: str

    def require(
        self, *, space: str | None = None, skeleton: Any = None, dataset: Any = None, at: str = ""
    ) -> None:
        """Refuses a supernet that is another than is asked for.

        Args:
            space: Name of a search space; None: any.
            skeleton: A component of ``raynas.supernets.skeleton``; None: any.
            dataset: A component of ``raynas.data.dataset``; None: any. Where its files lie does not matter.
            at: Where the supernet lies, for the message.

        Raises:
            InputError: It is another.
        """
        where = f"{at}: " if at else ""
        if space is not None and space != self.space:
            raise InputError(
                f"{where}a supernet of search space {self.space}, not {space}; use search_space: "
                f"{self.space}, or name another supernet"
            )
        if skeleton is not None and (asked := plain(SKELETONS, skeleton)) != self.skeleton:
            raise InputError(
                f"{where}a supernet of skeleton {_shown(self.skeleton)}, not {_shown(asked)}; leave the "
                "skeleton out, or name another supernet"
            )
        if dataset is not None:
            asked, own = _without_places(plain(DATASETS, dataset)), _without_places(self.dataset)
            if asked != own:
                raise InputError(
                    f"{where}a supernet trained on dataset {_shown(own)}, not {_shown(asked)}; use that "
                    "dataset, whose validation images it has not seen, or name another supernet"
                )

    def to_json(self) -> bytes:
        """Content of ``about.json``."""
        return json.dumps({"format": _FORMAT, **dataclasses.asdict(self)}, indent=2).encode()


def plain(slot: str, component: Any) -> dict[str, Any]:
    """A component as JSON knows it: its name and its fields.

    Args:
        slot: Dotted name of the package that it fills.
        component: A dataclass.
    """
    fields = {"name": name_of(slot, component), **dataclasses.asdict(component)}
    made: dict[str, Any] = json.loads(json.dumps(fields, default=str))
    return made


def read_about(place: Folder | str) -> About:
    """What a supernet's directory says of it.

    Args:
        place: The directory, or its path or URI.

    Raises:
        InputError: There is no such file, or it is torn, foreign or of another version.
    """
    place = folder(place) if isinstance(place, str) else place
    name = f"{place.uri}/{ABOUT}"
    try:
        found = json.loads(place.read(ABOUT))
    except FileNotFoundError as error:
        raise InputError(f"{name}: no such file; give the directory of a trained supernet") from error
    except OSError as error:
        raise InputError(f"{name}: cannot be read: {error}") from error
    except ValueError as error:  # of the text or of its encoding
        raise InputError(f"{name}: is torn or no JSON ({error}); train the supernet again") from error
    fields = {field.name for field in dataclasses.fields(About)}
    if not isinstance(found, dict) or found.keys() != {"format", *fields} or not _in_form(found):
        raise InputError(f"{name}: does not describe a supernet; give the directory of a trained one")
    if (version := found.pop("format")) != _FORMAT:
        raise InputError(
            f"{name}: is of format {version}, and this raynas reads format {_FORMAT}; train the supernet "
            "again"
        )
    return About(**{**found, "image_shape": tuple(found["image_shape"])})


def require_whole(place: Folder | str, fingerprint: str) -> None:
    """Refuses a directory on this machine by ``require_weights``; one on other storage is not looked at.

    Args:
        place: A supernet's own directory, or its path or URI.
        fingerprint: As its ``about.json`` gives it.

    Raises:
        InputError: The weights are others, or cannot be read.
    """
    place = folder(place) if isinstance(place, str) else place
    if isinstance(place, LocalFolder):
        require_weights(place.path / WEIGHTS, fingerprint, called=f"{place.uri}/{WEIGHTS}")


def require_weights(path: Path, fingerprint: str, *, called: str) -> None:
    """Refuses weights that are torn or another training's.

    Args:
        path: Of the file, or of a copy.
        fingerprint: That they should have.
        called: The file's name in the message.

    Raises:
        InputError: They have another, or cannot be read.
    """
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise unreadable(called, error) from error
    if found != fingerprint:
        raise torn(called)


def unreadable(called: str, error: OSError) -> InputError:
    """The error of weights that cannot be read."""
    if isinstance(error, FileNotFoundError):
        return InputError(f"{called}: no such file; train the supernet again")
    return InputError(f"{called}: cannot be read: {error}")


def torn(called: str) -> InputError:
    """The error of weights that are not those of their fingerprint."""
    return InputError(
        f"{called}: is torn, or of another training than the {ABOUT} beside it; train the supernet again"
    )


def find(place: Folder | str) -> list[Folder]:
    """The trained supernets at a place.

    Args:
        place: A supernet's own directory, or a run's, or its path or URI.

    Returns:
        One directory or more; of a run's, in the order of its trials.

    Raises:
        InputError: There is none, or the place cannot be reached.
    """
    place = folder(place) if isinstance(place, str) else place
    try:
        if _holds_one(place):
            return [place]
        inside = place.child(ARTIFACTS)
        found = [inside.child(name) for name in sorted(inside.names(), key=_in_order)]
        found = [child for child in found if _holds_one(child)]
    except OSError as error:
        raise InputError(f"{place.uri}: cannot be read: {error}") from error
    if not found:
        raise InputError(
            f"{place.uri}: no trained supernet there; give the directory of a run of workload: "
            f"train_supernet that has ended, or one that holds {ABOUT} and {WEIGHTS}; of one that was moved, "
            "a link to it will do"
        )
    return found


def _holds_one(place: Folder) -> bool:
    return {ABOUT, WEIGHTS} <= set(place.names())


def _in_form(found: Mapping[str, Any]) -> bool:
    """Whether what is more than a word or a number is what it should be."""
    of_components = all(isinstance(found[name], dict) and "name" in found[name] for name in _COMPONENTS)
    return of_components and isinstance(found["image_shape"], list)


def _in_order(name: str) -> tuple[int, int, str]:
    return (0, int(name), name) if name.isdecimal() else (1, 0, name)


def _without_places(component: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in component.items() if name not in _PLACES}


def _shown(component: Mapping[str, Any]) -> str:
    return "{" + ", ".join(f"{name}: {value}" for name, value in component.items()) + "}"
