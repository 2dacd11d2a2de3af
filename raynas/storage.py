"""Folders on a disk or in an object store, with the few operations that a run needs.

A local path uses the file system directly; ``s3://``, ``gs://`` and the like go through ``pyarrow.fs``, as
Ray's own storage does.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from raynas.errors import InputError

ARTIFACTS = "artifacts"
"""Of a run's folder: what its trials have made, in a folder each, by the ids of their proposals."""


class Folder(Protocol):
    """A place that holds the files of one run."""

    @property
    def uri(self) -> str:
        """Path or URI, as a user would type it."""
        ...

    @property
    def root(self) -> str:
        """Path of the folder within its file system, as Ray names it."""
        ...

    def child(self, name: str) -> Folder:
        """A folder inside this one; it need not exist."""
        ...

    def names(self) -> list[str]:
        """Sorted names of the files and folders in it; empty where it does not exist."""
        ...

    def read(self, name: str) -> bytes:
        """Content of a file.

        Raises:
            FileNotFoundError: No such file.
        """
        ...

    def write(self, name: str, content: bytes) -> None:
        """Makes a file, whole or not at all, replacing one of that name."""
        ...


def folder(uri: str) -> Folder:
    """The folder of a path or URI; it need not exist.

    Raises:
        InputError: A URI whose scheme is not known or whose store cannot be reached.
    """
    if "://" not in uri:
        return LocalFolder(Path(uri))
    if uri.startswith("file://"):
        return LocalFolder(Path(uri.removeprefix("file://")))
    from pyarrow import fs

    try:
        filesystem, path = fs.FileSystem.from_uri(uri)
    except (OSError, ValueError) as error:
        raise InputError(
            f"{uri}: cannot be used as storage: {error}; give a path, or a URI such as s3://bucket/folder"
        ) from error
    if not path:
        raise InputError(f"{uri}: names no folder; give one, such as s3://bucket/folder")
    return RemoteFolder(filesystem, path, uri)


def absolute(place: Folder) -> str:
    """Path or URI of a folder, the same from any working directory."""
    return place.uri if "://" in place.uri else place.root


def remove(place: Folder, path: str) -> None:
    """Removes a folder inside a folder, with all it holds; none there is no error.

    Args:
        place: The outer folder.
        path: The inner one, relative to it.

    Raises:
        OSError: It is there and cannot be removed.
    """
    if isinstance(place, LocalFolder):
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(place.path / path)
    elif isinstance(place, RemoteFolder):
        with contextlib.suppress(FileNotFoundError):
            place.filesystem.delete_dir(f"{place.path}/{path}")


@dataclass(frozen=True)
class LocalFolder:
    """A folder of the file system."""

    path: Path

    @property
    def uri(self) -> str:
        return str(self.path)

    @property
    def root(self) -> str:
        return str(self.path.absolute())

    def child(self, name: str) -> LocalFolder:
        return LocalFolder(self.path / name)

    def names(self) -> list[str]:
        return sorted(entry.name for entry in self.path.iterdir()) if self.path.is_dir() else []

    def read(self, name: str) -> bytes:
        return (self.path / name).read_bytes()

    def write(self, name: str, content: bytes) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        temporary = self.path / f".{name}.{os.getpid()}"
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self.path / name)


@dataclass(frozen=True)
class RemoteFolder:
    """A folder of an object store.

    Args:
        filesystem: A ``pyarrow.fs.FileSystem``.
        path: Path in it.
        uri: What the user calls it.
    """

    filesystem: Any
    path: str
    uri: str

    @property
    def root(self) -> str:
        return self.path

    def child(self, name: str) -> RemoteFolder:
        place, question, options = self.uri.partition("?")  # such as ?endpoint_override=...
        return RemoteFolder(self.filesystem, f"{self.path}/{name}", f"{place}/{name}{question}{options}")

    def names(self) -> list[str]:
        from pyarrow import fs

        selector = fs.FileSelector(self.path, allow_not_found=True)
        return sorted(info.base_name for info in self.filesystem.get_file_info(selector))

    def read(self, name: str) -> bytes:
        with self.filesystem.open_input_stream(f"{self.path}/{name}") as stream:
            return bytes(stream.read())

    def write(self, name: str, content: bytes) -> None:
        self.filesystem.create_dir(self.path, recursive=True)
        with self.filesystem.open_output_stream(f"{self.path}/{name}") as stream:
            stream.write(content)
