"""A trained supernet on disk and in memory: its weights before and after training, its statistics.

``weights.pt`` holds plain tensors and is mapped into memory, so that all processes of a node share its pages.
Of a supernet that lies in an object store a node keeps one copy, in its directory of temporary files.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from raynas.errors import InputError
from raynas.flatness.subject import Weights
from raynas.lookup import build
from raynas.oneshot.about import ABOUT, WEIGHTS, About, read_about, require_weights, torn, unreadable
from raynas.spaces import get_space
from raynas.storage import Folder, LocalFolder, absolute, folder
from raynas.supernets.skeleton import SKELETONS
from raynas.supernets.snapshot import copied
from raynas.supernets.supernet import Supernet

_PARTS = ("initial", "weights", "buffers")


@dataclass(frozen=True, eq=False)
class TrainedSupernet:
    """A supernet after training.

    Attributes:
        about: What it is.
        initial: Its weights before the first step, by name.
        weights: Those after the last.
        buffers: Statistics of its batch norms, of all paths at once.
    """

    about: About
    initial: Weights
    weights: Weights
    buffers: Mapping[str, Tensor]

    def network(self) -> Supernet:
        """The network with the trained weights, on the CPU, in evaluation mode.

        Raises:
            InputError: The weights are not of the supernet that ``about`` tells of.
        """
        about = self.about
        skeleton = build(SKELETONS, **about.skeleton)
        made: Supernet = skeleton.supernet(
            get_space(about.space),
            in_channels=about.image_shape[0],
            n_classes=about.n_classes,
            generator=torch.Generator().manual_seed(0),
        )
        try:
            made.load_state_dict({**self.weights, **self.buffers})
        except RuntimeError as error:
            reason = str(error).partition("\n")[2].partition("\n")[0].strip()
            raise InputError(
                f"the supernet's {WEIGHTS} does not belong to its {ABOUT}: {reason}; train the supernet again"
            ) from error
        return made.eval()


def files(about: About, initial: Weights, supernet: Supernet) -> dict[str, bytes]:
    """What a trained supernet's directory holds, by file name.

    Args:
        about: Whose fingerprint is filled in here.
        initial: The weights before training.
        supernet: After it.
    """
    parts = {
        "initial": _plain(initial),
        "weights": _plain(dict(supernet.named_parameters())),
        "buffers": _plain(dict(supernet.named_buffers())),
    }
    content = io.BytesIO()
    torch.save(parts, content)
    found = content.getvalue()
    fingerprint = hashlib.sha256(found).hexdigest()
    return {ABOUT: replace(about, fingerprint=fingerprint).to_json(), WEIGHTS: found}


def load(place: Folder | str) -> TrainedSupernet:
    """The supernet in a directory, read once a process.

    Args:
        place: The directory, or its path or URI.

    Raises:
        InputError: There is none, or one of its files is torn or foreign.
    """
    place = folder(place) if isinstance(place, str) else place
    return _of_fingerprint(absolute(place), read_about(place).fingerprint)


@lru_cache(maxsize=2)
def _of_fingerprint(uri: str, fingerprint: str) -> TrainedSupernet:
    place = folder(uri)
    about = read_about(place)
    path = place.path / WEIGHTS if isinstance(place, LocalFolder) else _copied(place, fingerprint)
    require_weights(path, fingerprint, called=f"{uri}/{WEIGHTS}")
    parts = torch.load(path, mmap=True, weights_only=True, map_location="cpu")
    return TrainedSupernet(about, *(parts[part] for part in _PARTS))


def _copied(place: Folder, fingerprint: str) -> Path:
    """The weights of a remote directory, fetched by whichever process of the node comes first."""
    kept = Path(tempfile.gettempdir()) / f"raynas-supernets-{os.getuid()}"
    kept.mkdir(mode=0o700, exist_ok=True)
    path = kept / f"{fingerprint}.pt"
    with _locked(kept / f"{fingerprint}.lock"):
        if not path.exists():
            called = f"{place.uri}/{WEIGHTS}"
            try:
                content = place.read(WEIGHTS)
            except OSError as error:
                raise unreadable(called, error) from error
            if hashlib.sha256(content).hexdigest() != fingerprint:
                raise torn(called)
            LocalFolder(kept).write(path.name, content)
    return path


def _plain(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.contiguous() for name, tensor in copied(tensors).items()}


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
