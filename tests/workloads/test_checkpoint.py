"""Checkpoints: whole or not there, plain data only."""

from __future__ import annotations

import os
import pickle
import shutil
from pathlib import Path

import pytest
import torch

from raynas.errors import RaynasError
from raynas.workloads import _checkpoint

STATE = {"epoch": 3, "weights": {"a": torch.arange(1000.0)}, "groups": [{"lr": 0.1, "betas": (0.9, None)}]}


def names(directory):
    return [path.name for path in directory.iterdir()]


def test_what_is_written_is_read(tmp_path):
    _checkpoint.write(STATE, tmp_path / "deep" / "folder")
    found = _checkpoint.read(tmp_path / "deep" / "folder")
    assert torch.equal(found["weights"]["a"], STATE["weights"]["a"])
    assert (found["epoch"], found["groups"]) == (3, STATE["groups"])
    assert _checkpoint.complete(tmp_path / "deep" / "folder")
    assert names(tmp_path / "deep" / "folder") == ["state.pt"], "nothing else is left there"


def test_a_failed_writing_leaves_the_former_checkpoint_and_no_rubbish(tmp_path):
    _checkpoint.write(STATE, tmp_path)
    with pytest.raises((AttributeError, pickle.PicklingError)):
        _checkpoint.write({"epoch": 4, "bad": lambda: None}, tmp_path)
    assert _checkpoint.read(tmp_path)["epoch"] == 3
    assert names(tmp_path) == ["state.pt"]


def test_a_kill_before_the_renaming_leaves_the_former_checkpoint(tmp_path, monkeypatch):
    _checkpoint.write(STATE, tmp_path)

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        _checkpoint.write({"epoch": 4}, tmp_path)
    assert _checkpoint.read(tmp_path)["epoch"] == 3


def test_a_later_checkpoint_takes_the_place_of_a_former(tmp_path):
    _checkpoint.write(STATE, tmp_path)
    _checkpoint.write({"epoch": 4}, tmp_path)
    assert _checkpoint.read(tmp_path) == {"epoch": 4}


@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.9, 0.999])
def test_a_torn_copy_is_recognised_and_refused(tmp_path, share):
    _checkpoint.write(STATE, tmp_path)
    path = tmp_path / "state.pt"
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    assert not _checkpoint.complete(tmp_path)
    with pytest.raises(RaynasError, match=r"state\.pt: not a whole checkpoint"):
        _checkpoint.read(tmp_path)


def test_a_hole_in_a_copy_is_recognised_by_its_checksum(tmp_path):
    _checkpoint.write(STATE, tmp_path)
    path = tmp_path / "state.pt"
    whole = bytearray(path.read_bytes())
    place = whole.find(torch.tensor([500.0]).numpy().tobytes())
    whole[place : place + 64] = bytes(64)
    path.write_bytes(whole)
    assert not _checkpoint.complete(tmp_path)


def test_an_empty_directory_is_no_checkpoint(tmp_path):
    assert not _checkpoint.complete(tmp_path)
    assert not _checkpoint.complete(tmp_path / "absent")
    with pytest.raises(RaynasError, match="no checkpoint there"):
        _checkpoint.read(tmp_path)


def test_a_copied_directory_is_a_checkpoint(tmp_path):
    _checkpoint.write(STATE, tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert _checkpoint.complete(tmp_path / "b")


class Hostile:
    def __reduce__(self):
        return os.mkdir, ("owned",)


def test_a_checkpoint_that_would_run_something_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"epoch": Hostile()}, tmp_path / "state.pt")
    with pytest.raises(RaynasError, match="not a whole checkpoint of plain data"):
        _checkpoint.read(tmp_path)
    assert not (tmp_path / "owned").exists()
