"""Checkpoints on disk: one file, there as a whole or not there, read without running what is in it."""

from __future__ import annotations

import os
import pickle
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from raynas.errors import RaynasError

FILE = "state.pt"


def write(state: Mapping[str, Any], directory: Path) -> None:
    """Writes a state so that a kill at any moment leaves the former checkpoint or the new one.

    Args:
        state: Tensors and plain containers.
        directory: Made if need be; its former checkpoint is replaced.
    """
    directory.mkdir(parents=True, exist_ok=True)
    unfinished = directory / f".{FILE}.{os.getpid()}"
    try:
        with unfinished.open("wb") as file:
            torch.save(dict(state), file)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(directory / FILE)
    finally:
        unfinished.unlink(missing_ok=True)
    _sync_names(directory)


def read(directory: Path) -> dict[str, Any]:
    """The state in a directory, its tensors on the CPU.

    Raises:
        RaynasError: There is none, or it is torn or holds more than tensors and plain containers.
    """
    path = directory / FILE
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise RaynasError(f"{path}: no checkpoint there") from error
    # A torn file fails as any of these, depending on where it is torn.
    except (RuntimeError, OSError, EOFError, pickle.UnpicklingError, KeyError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise RaynasError(
            f"{path}: not a whole checkpoint of plain data ({type(error).__name__}: {reason}); "
            "delete its directory"
        ) from error
    return state


def complete(directory: Path) -> bool:
    """Whether a directory holds a whole checkpoint: one with its table of contents and sound checksums."""
    try:
        with zipfile.ZipFile(directory / FILE) as archive:
            return bool(archive.namelist()) and archive.testzip() is None
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError, ValueError):
        return False


def _sync_names(directory: Path) -> None:
    """Makes the renaming itself outlast a power cut, where the file system can."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError:  # some network file systems refuse this on directories
        pass
    finally:
        os.close(descriptor)
