"""The images that a study computes on, by the name of their dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from raynas.assets import suggestion
from raynas.errors import InputError
from raynas.lookup import available, find

if TYPE_CHECKING:
    from raynas.data.images import DatasetSpec

_DATASETS = "raynas.data.dataset"


def find_images(name: str, *, at: str, root: str | None = None, **fields: Any) -> DatasetSpec:
    """A dataset whose files are there.

    Args:
        name: Of the dataset, or ``package.module:Class``.
        at: What names it, for the message.
        root: Folder of its files; None: its own.
        fields: Of the dataset.

    Raises:
        InputError: There is none of that name, or its files are missing.
    """
    if ":" not in name and name not in (choices := available(_DATASETS)):
        hint = suggestion(name, choices)
        raise InputError(
            f"{at}: no images of '{name}'{hint} Available: {', '.join(choices)}; give one as images"
        )
    given = {**fields, **({} if root is None else {"root": root})}
    try:
        spec: DatasetSpec = find(_DATASETS, name)(**given)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"images: {name} cannot be made of {', '.join(given) or 'no options'} alone; give another dataset"
        ) from error
    if problems := [message for _, message in spec.problems()]:
        raise InputError(f"images: {name}: {problems[0]}")
    return spec
