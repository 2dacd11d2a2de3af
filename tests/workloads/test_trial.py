"""A trial's divergence, as it travels between processes."""

from __future__ import annotations

import pickle
import subprocess
import sys

from raynas.errors import RaynasError
from raynas.trial import Diverged


def test_a_divergence_survives_pickling_with_its_epoch():
    found = pickle.loads(pickle.dumps(Diverged("train_loss is nan in epoch 3", 3)))
    assert isinstance(found, RaynasError)
    assert (str(found), found.epoch) == ("train_loss is nan in epoch 3", 3)


def test_trials_and_workloads_options_load_no_torch():
    program = (
        "import sys, raynas.trial, raynas.workloads.train_architecture as t; t.TrainArchitecture(); "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
