"""An architecture as three files: for programs, for Python, for the eye."""

from __future__ import annotations

import io
import json
from dataclasses import asdict, dataclass

import raynas
from raynas.answer import Origin
from raynas.errors import InputError
from raynas.spaces import ABSENT, Architecture, get_space
from raynas.storage import Folder
from raynas.supernets.scaling import Cost, Target

JSON, PYTHON, DRAWING = "architecture.json", "architecture.py", "architecture.png"
_DPI = 160


@dataclass(frozen=True)
class Export:
    """What there is to say of an architecture.

    Attributes:
        architecture: The architecture.
        origin: The run that found it; None where it was given.
        target: The network to train; None where raynas has none for such cells.
        cost: Of that network; None where it was not counted.
        budget_m: Millions of multiply-adds that decided on its channels; None where nothing did.
    """

    architecture: Architecture
    origin: Origin | None = None
    target: Target | None = None
    cost: Cost | None = None
    budget_m: float | None = None


def write(export: Export, place: Folder) -> list[str]:
    """Writes the files, in place of those of an earlier export.

    Args:
        export: What to write.
        place: Where; made where there is none.

    Returns:
        Paths or URIs of the files.

    Raises:
        InputError: A file of that name is not an earlier export's, or the folder cannot be written.
    """
    names = (JSON, PYTHON, DRAWING)
    try:
        taken = [name for name in names if name in place.names()]
        if taken and not _is_own(place):
            raise InputError(
                f"{place.uri}/{taken[0]}: is not of an earlier export; move it, or give another --out"
            )
        for name, content in files(export).items():
            place.write(name, content)
    except OSError as error:
        raise InputError(
            f"{place.uri}: cannot be written: {error.strerror or error}; give another --out"
        ) from error
    return [place.child(name).uri for name in names]


def files(export: Export) -> dict[str, bytes]:
    """The files by name."""
    from raynas.analysis.genotype_drawing import draw

    image = io.BytesIO()
    draw(export.architecture).savefig(image, format="png", dpi=_DPI)
    described = json.dumps(description(export), indent=2, ensure_ascii=False)
    return {JSON: f"{described}\n".encode(), PYTHON: module(export).encode(), DRAWING: image.getvalue()}


def description(export: Export) -> dict[str, object]:
    """The content of ``architecture.json``.

    Its keys: ``raynas``, the version; ``space`` and its ``kind``; ``notation``; ``operations`` by edge, where
    there are several cells within each; ``origin``, as ``Origin``; ``network``: its ``class``, the options of
    that, ``image_size``, and where they were counted ``flops_m`` and ``parameters_m``, in millions.
    """
    space = get_space(export.architecture.space)
    operations: dict[str, dict[str, str]] = {}
    for edge, op in zip(space.edges, export.architecture.ops, strict=True):
        if op != ABSENT:
            operations.setdefault(edge.cell, {})[f"{edge.target}<-{edge.source}"] = space.operations[op]
    return {
        "raynas": raynas.__version__,
        "space": space.name,
        "kind": space.kind,
        "notation": str(export.architecture),
        "operations": operations[""] if [*operations] == [""] else operations,
        "origin": None if export.origin is None else asdict(export.origin),
        "network": None if export.target is None else _network(export, export.target),
    }


def _network(export: Export, target: Target) -> dict[str, object]:
    told: dict[str, object] = {"class": target.network_class, **asdict(target)}
    if export.cost is not None:
        told |= {"flops_m": export.cost.flops / 1e6, "parameters_m": export.cost.parameters / 1e6}
    if export.budget_m is not None:
        told["budget_flops_m"] = export.budget_m
    return told


def module(export: Export) -> str:
    """The source of ``architecture.py``: ``GENOTYPE`` in the field's notation, and ``network()``."""
    architecture, origin = export.architecture, export.origin
    is_darts = get_space(architecture.space).kind == "darts"
    about = (
        f"An architecture of the search space {architecture.space}, exported by raynas {raynas.__version__}."
    )
    parts = [
        f'"""{_plain(about)}"""',
        "from __future__ import annotations",
        "from collections import namedtuple" if is_darts else "",
        "" if origin is None else f"# {_plain(_told(origin))}",
        _darts_genotype(architecture) if is_darts else f"GENOTYPE = {_literal(str(architecture))}",
        "" if export.target is None else _rebuilding(export, export.target),
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def _darts_genotype(architecture: Architecture) -> str:
    """A named tuple as DARTS and its descendants read it, a line for each node."""
    space = get_space(architecture.space)
    lines = [
        'Genotype = namedtuple("Genotype", "normal normal_concat reduce reduce_concat")',
        "",
        "GENOTYPE = Genotype(",
    ]
    for cell in ("normal", "reduce"):
        pairs: dict[int, list[str]] = {}
        for edge, op in zip(space.edges, architecture.ops, strict=True):
            if edge.cell == cell and op != ABSENT:
                pairs.setdefault(edge.target, []).append(f'("{space.operations[op]}", {edge.source})')
        lines += [
            f"    {cell}=[",
            *(f"        {', '.join(two)},  # node {n}" for n, two in pairs.items()),
            "    ],",
        ]
        lines.append(f"    {cell}_concat=range({min(pairs)}, {max(pairs) + 1}),")
    return "\n".join([*lines, ")"])


_REBUILDING = '''\
SPACE = {space}
{counted}NETWORK = {{
{options}
}}


def network(*, seed: int = 0, **options):
    """The network, its first weights drawn from a seed; options go before NETWORK."""
    import torch
    from raynas.spaces import get_space
    from {place} import {name}

    architecture = get_space(SPACE).parse(str(GENOTYPE))
    generator = torch.Generator().manual_seed(seed)
    return {name}(architecture, **{{**NETWORK, **options}}, generator=generator)'''


def _rebuilding(export: Export, target: Target) -> str:
    place, _, name = target.network_class.partition(":")
    counted = ""
    if (cost := export.cost) is not None:
        side = target.image_size
        counted = (
            f"# {cost.flops / 1e6:.6g} million multiply-adds an image of {side}x{side} pixels, "
            f"{cost.parameters / 1e6:.4g} million parameters.\n"
        )
    options = "\n".join(
        f"    {_literal(option)}: {_literal(value)}," for option, value in target.options.items()
    )
    return _REBUILDING.format(
        space=_literal(export.architecture.space),
        counted=counted,
        options=options,
        place=place,
        name=name,
    )


def _told(origin: Origin) -> str:
    """Where an architecture comes from, in a line."""
    if origin.trial is None:
        return f"Of run {origin.run}, which has no trial of it."
    trial = f"{'Derived by trial' if origin.derived else 'Trial'} {origin.trial} of run {origin.run}"
    value = "" if origin.value is None else f": {origin.metric} {origin.value:.6g}"
    return f"{trial}, after epoch {origin.epoch}{value}."


def _literal(value: object) -> str:
    """A text or a number as Python writes it, in double quotes."""
    return json.dumps(value, ensure_ascii=False)


def _plain(text: str) -> str:
    """A text that neither ends a comment nor a docstring."""
    return " ".join(text.split()).replace("\\", "/").replace('"', "'")


def _is_own(place: Folder) -> bool:
    """Whether a folder holds an earlier export."""
    try:
        told = json.loads(place.read(JSON))
    except (FileNotFoundError, ValueError):
        return False
    return isinstance(told, dict) and {"raynas", "space", "notation", "operations"} <= told.keys()
