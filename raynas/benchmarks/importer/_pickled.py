"""Unpickles benchmark files without running them.

A pickle is a program. Those of NAS-Bench-201 and NATS-Bench need dicts, lists, strings and numbers, and carry
tensors and configurations that a table has no use for. So nothing that the file names is imported: NumPy's
scalars are decoded here, the dicts of ``collections`` become plain ones, and everything else becomes an inert
stand-in. That also reads what PyTorch's ``weights_only`` mode, the default since 2.6, refuses, without
trusting the file.
"""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from raynas.errors import InputError

_NUMBERS = frozenset(["b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"])
_ZIP = b"PK\x03\x04"
_PREFACE = 3  # PyTorch's magic number, its protocol and a description of the machine, each a pickle


def load(file: IO[bytes]) -> Any:
    """The next pickle in a file: dicts, lists, tuples, strings, numbers, and stand-ins for all else."""
    return _Inert(file).load()


def load_torch(path: Path) -> Any:
    """What ``torch.save`` wrote, in either of its formats, without its tensors.

    Raises:
        InputError: The file is missing or damaged, or was not written so.
    """
    with refused(path), path.open("rb") as file:
        if file.peek(len(_ZIP)).startswith(_ZIP):
            return _load_zipped(path)
        for _ in range(_PREFACE):
            load(file)
        return load(file)


def _load_zipped(path: Path) -> Any:
    with zipfile.ZipFile(path) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("/data.pkl"))
        with archive.open(name) as file:
            return load(file)


@contextmanager
def refused(path: Path) -> Iterator[None]:
    """Turns whatever a broken file raises into one message that names it."""
    try:
        yield
    except InputError:
        raise
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    # Garbage makes an unpickler raise nearly anything: KeyError, struct.error, UnicodeDecodeError and more.
    except Exception as error:
        raise InputError(
            f"{path}: cannot be read as a benchmark's file ({type(error).__name__}: {error}); "
            "fetch the original again"
        ) from error


class _Inert(pickle.Unpickler):
    """Imports nothing."""

    def find_class(self, module: str, name: str) -> Any:
        return _ADMITTED.get((module, name), _StandIn)

    def persistent_load(self, pid: object) -> Any:
        return _StandIn()


class _StandIn:
    """In place of an object of no use: takes whatever a pickle does to one, and holds nothing."""

    def __new__(cls, *args: object, **kwargs: object) -> _StandIn:
        return super().__new__(cls)

    def __init__(self, *args: object, **kwargs: object) -> None:
        pass

    def __call__(self, *args: object, **kwargs: object) -> _StandIn:
        return self

    def __setstate__(self, state: object) -> None:
        pass

    def __setitem__(self, key: object, value: object) -> None:
        pass

    def append(self, item: object) -> None:
        """Forgets it."""

    def extend(self, items: object) -> None:
        """Forgets them."""


class _Dict(dict[Any, Any]):
    """In place of the dicts of ``collections``, which begin empty and may carry attributes."""

    __slots__ = ()

    def __init__(self, *args: object) -> None:
        super().__init__()

    def __setstate__(self, state: object) -> None:
        pass


class _Dtype:
    """A NumPy dtype of plain numbers."""

    def __init__(self, code: str, *flags: object) -> None:
        if code not in _NUMBERS:
            raise pickle.UnpicklingError(f"refused a number of dtype {code!r}")
        self.code = code

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if state[1] in (">", "<"):
            self.code = state[1] + self.code.lstrip("<>")


def _scalar(dtype: Any, data: Any = b"") -> Any:
    raw = data.encode("latin1") if isinstance(data, str) else data
    return np.frombuffer(raw, np.dtype(dtype.code))[0].item()


def _encode(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"refused the codec {encoding!r}")
    return text.encode("latin1")


_ADMITTED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): _Dict,
    ("collections", "defaultdict"): _Dict,
    ("_codecs", "encode"): _encode,
    ("numpy", "dtype"): _Dtype,
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("numpy._core.multiarray", "scalar"): _scalar,
}
