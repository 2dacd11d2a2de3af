"""Write the architecture that a run found as JSON, as Python and as a drawing."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from raynas.answer import Origin
    from raynas.export import Export
    from raynas.spaces import Architecture
    from raynas.storage import Folder
    from raynas.supernets.scaling import Target

_FOLDER = "export"
_NETWORK = ("channels", "layers", "stem", "cells", "stages", "image_size", "in_channels", "n_classes")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    parser.add_argument(
        "run_dir",
        nargs="?",
        metavar="RUN_DIR",
        help="directory that 'raynas run' or 'simulate' made; it may still run",
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--trial", type=int, metavar="ID", help="of this trial (default: the best so far)")
    which.add_argument("--architecture", metavar="TEXT", help="this one, in its space's notation")
    parser.add_argument("--space", metavar="NAME", help="search space of --architecture, without RUN_DIR")
    parser.add_argument(
        "--out",
        metavar="DIR",
        help=f"where the files go (default: {_FOLDER}/ in RUN_DIR, else in the working directory)",
    )
    network = parser.add_argument_group(
        "the network to train",
        "by default as GeNAS retrains DARTS cells on ImageNet, or as NAS-Bench-201 does",
    )
    width = network.add_mutually_exclusive_group()
    width.add_argument(
        "--flops-m", type=float, metavar="N", help="as wide as N million multiply-adds an image allow"
    )
    width.add_argument("--channels", type=int, metavar="C", help="initial channels (default: 48, or 16)")
    network.add_argument(
        "--multiple-of",
        type=int,
        metavar="K",
        help="with --flops-m: channels are a multiple of K (default: 1)",
    )
    network.add_argument("--layers", type=int, metavar="N", help="DARTS: cells (default: 14; on CIFAR 20)")
    network.add_argument(
        "--stem", choices=["imagenet", "cifar"], help="DARTS: which network (default: imagenet)"
    )
    network.add_argument("--cells", type=int, metavar="N", help="NAS-Bench-201: cells a stage (default: 5)")
    network.add_argument("--stages", type=int, metavar="N", help="NAS-Bench-201: stages (default: 3)")
    network.add_argument("--image-size", type=int, metavar="P", help="pixels a side (default: 224, or 32)")
    network.add_argument("--in-channels", type=int, metavar="N", help="channels of an image (default: 3)")
    network.add_argument("--n-classes", type=int, metavar="N", help="classes (default: 1000, or 10)")


def perform(arguments: argparse.Namespace) -> int:
    """Writes the files and says what they hold."""
    from raynas import export
    from raynas.storage import folder

    place = None if arguments.run_dir is None else folder(arguments.run_dir)
    architecture, origin = _found(arguments, place)
    made = _export(arguments, architecture, origin)
    own = folder(_FOLDER) if place is None else place.child(_FOLDER)
    written = export.write(made, own if arguments.out is None else folder(arguments.out))
    if origin is not None:
        _say_origin(origin, chosen=arguments.trial is not None or arguments.architecture is not None)
    print(f"architecture  {architecture}")
    if made.target is not None and made.cost is not None:
        budget = "" if made.budget_m is None else f" of {made.budget_m:g}"
        flops_m, parameters_m = made.cost.flops / 1e6, made.cost.parameters / 1e6
        print(
            f"channels      {made.target.channels}: {flops_m:.2f}{budget} million multiply-adds, "
            f"{parameters_m:.2f} million parameters"
        )
    print("written:")
    for path in written:
        print(f"  {path}")
    return 0


def _found(arguments: argparse.Namespace, place: Folder | None) -> tuple[Architecture, Origin | None]:
    """The architecture that is asked for, and the run that it is of."""
    from raynas import answer, assets
    from raynas.errors import InputError
    from raynas.spaces import get_space

    if place is None:
        if arguments.space is None or arguments.architecture is None:
            raise InputError("give RUN_DIR, or both --architecture and --space")
        space = get_space(assets.from_anywhere("search_spaces", arguments.space))
        return space.parse(arguments.architecture), None
    if arguments.space is not None:
        raise InputError(f"--space: the run has its own; leave it out, or RUN_DIR, {place.uri}")
    if arguments.architecture is not None:
        found = answer.of_architecture(place, arguments.architecture)
    elif arguments.trial is not None:
        found = answer.of_trial(place, arguments.trial)
    else:
        found = answer.best(place)
    return found.architecture, found.origin


def _export(arguments: argparse.Namespace, architecture: Architecture, origin: Origin | None) -> Export:
    """All that is said of the architecture; torch is loaded where there is something to count."""
    from raynas.errors import InputError
    from raynas.export import Export
    from raynas.supernets import scaling

    target, cost = _target(arguments, architecture), None
    multiple_of = 1 if arguments.multiple_of is None else arguments.multiple_of
    if arguments.flops_m is None and arguments.multiple_of is not None:
        raise InputError("--multiple-of: goes with --flops-m; give that, too, or --channels alone")
    try:
        if target is not None and arguments.flops_m is not None:
            target, cost = scaling.within(architecture, target, arguments.flops_m, multiple_of=multiple_of)
        elif target is not None and arguments.channels is not None:
            cost = scaling.cost(architecture, target)
    except InputError as error:
        raise _of_option(error) from error
    return Export(architecture, origin, target, cost, arguments.flops_m)


def _target(arguments: argparse.Namespace, architecture: Architecture) -> Target | None:
    """The network to train as the options say; None for cells that raynas has no network for."""
    from dataclasses import replace

    from raynas.errors import InputError
    from raynas.spaces import get_space
    from raynas.supernets import scaling

    given = {name: value for name in _NETWORK if (value := getattr(arguments, name)) is not None}
    kind = get_space(architecture.space).kind
    target = (
        scaling.DARTS_CIFAR if (kind, arguments.stem) == ("darts", "cifar") else scaling.TARGETS.get(kind)
    )
    if target is None:
        if given or arguments.flops_m is not None:
            raise InputError(
                f"there is no network of cells of kind '{kind}'; leave out the options of a network"
            )
        return None
    for name in given.keys() - target.options.keys() - {"image_size"}:
        raise InputError(f"{_option(name)}: networks of cells of kind '{kind}' have none; leave it out")
    try:
        return replace(target, **given)
    except ValueError as error:
        raise _of_option(error) from error


def _of_option(error: Exception) -> Exception:
    """An error of ``field: what is wrong``, with the option in the field's place."""
    from raynas.errors import InputError

    name, colon, message = str(error).partition(": ")
    known = {*_NETWORK, "flops_m", "multiple_of"}
    return InputError(f"{_option(name)}{colon}{message}") if name in known else InputError(str(error))


def _option(field: str) -> str:
    return f"--{field.replace('_', '-')}"


def _say_origin(origin: Origin, *, chosen: bool) -> None:
    from raynas.cli.outcome import settings

    state = "ended" if origin.ended else "not ended"
    if origin.trial is None:
        print(f"{origin.run}: {state}; no trial of this architecture")
        return
    over = f", over {origin.n_scored} architectures" if (origin.n_scored or 1) > 1 else ""
    score = "no score" if origin.score is None else f"score {origin.score:.4f}{over}"
    value = "" if origin.value is None else f", {origin.metric} {origin.value:.4f}"
    print(f"{origin.run}: {state}; trial {origin.trial}: {score}{value} after epoch {origin.epoch}")
    if origin.settings:
        print(f"set           {settings(origin.settings)}")
        if not origin.derived and not chosen:
            print(
                "              the best of several searches; of each 'raynas results' shows it, for --trial"
            )
