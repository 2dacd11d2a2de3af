"""Reads the pickles in which CIFAR and downsampled ImageNet are published, without running them.

A pickle is a program. Those files need dicts, lists, strings, numbers and plain NumPy arrays, so the reader
admits nothing else, and arrays are built here from their bytes instead of by NumPy's own ``__setstate__``,
which trusts the file's description of its memory.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raynas.errors import InputError

_DTYPES = frozenset(["u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f4", "f8", "b1"])


class ForeignGlobalError(pickle.UnpicklingError):
    """The pickle names something that is not plain data."""


def read(path: Path) -> Any:
    """The content of a pickle of plain data, written by Python 2 or 3.

    Args:
        path: A file.

    Returns:
        Dicts, lists, tuples, numbers, strings (those of Python 2 as bytes) and NumPy arrays.

    Raises:
        InputError: The file is missing, truncated, or holds anything else; the message names it.
    """
    try:
        with path.open("rb") as file:
            return _finished(_PlainUnpickler(file, encoding="bytes").load())
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    except ForeignGlobalError as error:
        raise InputError(f"{path}: {error}; foreign or damaged, fetch the original again") from error
    except MemoryError as error:
        raise InputError(f"{path}: asks for more memory than there is; fetch the original again") from error
    # Garbage makes the unpickler raise nearly anything: KeyError, struct.error, UnicodeDecodeError and more.
    except Exception as error:
        raise InputError(
            f"{path}: not a whole pickle of plain data ({type(error).__name__}: {error}, "
            f"{path.stat().st_size:,} bytes); fetch the original again"
        ) from error


# The unpickler written in C reserves memory for any memo number a damaged file names, gigabytes of it.
class _PlainUnpickler(pickle._Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (found := _ADMITTED.get((module, name))) is None:
            raise ForeignGlobalError(f"refused '{module}.{name}', which is not plain data")
        return found


class _Dtype:
    def __init__(self, code: str | bytes, *flags: object) -> None:
        self.code = code.decode("ascii") if isinstance(code, bytes) else code
        if self.code not in _DTYPES:
            raise ForeignGlobalError(f"refused an array of dtype '{self.code}', which is not plain numbers")
        self.order = "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        order = state[1].decode("ascii") if isinstance(state[1], bytes) else state[1]
        self.order = "=" if order == "|" else order

    @property
    def numpy(self) -> np.dtype[Any]:
        return np.dtype(self.order + self.code)


class _Array:
    def __init__(self, *described: object) -> None:
        self.values: NDArray[Any] = np.empty(0)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        shape, dtype, fortran, data = state[-4:]
        self.values = _from_bytes(data, dtype, shape, "F" if fortran else "C")


def _reconstruct(kind: object, shape: object, code: object) -> _Array:
    return _Array()


def _frombuffer(data: Any, dtype: _Dtype, shape: tuple[int, ...], order: str) -> _Array:
    array = _Array()
    array.values = _from_bytes(data, dtype, shape, order)
    return array


def _scalar(dtype: _Dtype, data: Any) -> Any:
    return _from_bytes(data, dtype, (), "C").item()


def _encode(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise ForeignGlobalError(f"refused the codec '{encoding}'")
    return text.encode("latin1")


def _from_bytes(data: Any, dtype: _Dtype, shape: Any, order: Any) -> NDArray[Any]:
    raw = data.encode("latin1") if isinstance(data, str) else data
    return np.frombuffer(raw, dtype.numpy).reshape(shape, order=order)


_ADMITTED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _encode,
    **{
        (f"numpy.{core}.{module}", name): stand_in
        for core in ("core", "_core")
        for module, name, stand_in in (
            ("multiarray", "_reconstruct", _reconstruct),
            ("multiarray", "scalar", _scalar),
            ("numeric", "_frombuffer", _frombuffer),
        )
    },
}


def _finished(value: Any) -> Any:
    """The same data with arrays in the place of their stand-ins, one level into containers."""
    if isinstance(value, _Array):
        return value.values
    if isinstance(value, dict):
        return {key: _finished(item) for key, item in value.items()}
    return value
