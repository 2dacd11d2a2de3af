"""The table that travels with the package: whole, small, and what its constants give when trained."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from raynas.benchmarks import open_table
from raynas.config import load
from raynas.search.asktell import Proposal
from raynas.spaces import get_space
from raynas.spaces.canonical import classes

SPACE = get_space("nas_bench_201")
N_FORMS = 5044


@pytest.fixture(scope="module")
def table():
    return open_table("digits")


def retrained(architecture):
    """Metrics of the last and of all epochs of a cell's training, by the shipped configuration."""
    experiment = load("digits_benchmark")
    training = experiment.workload.start(experiment.trial(Proposal(0, architecture)))
    reports = []
    while not training.done:
        reports.append(training.step())
    return reports


def test_it_answers_for_every_architecture_seed_and_epoch(table):
    about = table.describe()
    assert (about.n_architectures, about.n_trained) == (15_625, N_FORMS)
    (part,) = about.parts
    assert part.seeds == (0, 1, 2)
    assert part.epochs == tuple(range(1, 21))
    for metric in ("valid_loss", "valid_accuracy_pct", "test_accuracy_pct", "cost_s"):
        curves = table.curves(metric)
        assert curves.shape == (15_625, 3, 20)
        assert np.isfinite(curves).all()


def test_architectures_that_compute_the_same_have_the_same_trainings(table):
    class_of, _ = classes(SPACE)
    curves = table.curves("valid_loss").reshape(15_625, -1)
    first = {int(form): place for place, form in reversed(list(enumerate(class_of)))}
    assert (curves == curves[[first[int(form)] for form in class_of]]).all()


# cells of few and of many convolutions, and one without any
@pytest.mark.parametrize("index", [0, 7_812, 11_111])
def test_a_training_by_the_shipped_constants_gives_the_stored_curves(table, index):
    """As stored where the table was made, and within the noise between seeds on another kind of machine."""
    architecture = SPACE.at(index)
    reports = retrained(architecture)
    for metric in ("valid_loss", "valid_accuracy_pct", "test_accuracy_pct"):
        stored = table.curves(metric, architecture)
        found = np.array([[report.metrics[f"{metric}.{seed}"] for report in reports] for seed in (0, 1, 2)])
        if np.allclose(found, stored, atol=6e-4):  # losses are stored to 0.001
            continue
        everywhere = table.curves(metric)
        noise = everywhere.std(axis=1, ddof=1).mean(axis=0)  # (epochs,), over all architectures
        allowed = 4 * noise * np.sqrt(2)
        assert (np.abs(found.mean(0) - stored.mean(0)) < allowed / np.sqrt(3)).mean() > 0.9, metric
        assert abs(found.mean(0)[-1] - stored.mean(0)[-1]) < allowed[-1], metric


def test_it_takes_little_memory_and_time():
    """Read whole in a process of its own, without torch or Ray."""
    code = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from raynas.benchmarks import open_table\n"
        "table = open_table('digits')\n"
        "metrics = 'valid_loss', 'valid_accuracy_pct', 'test_loss'\n"
        "total = sum(float(table.curves(metric).sum()) for metric in metrics)\n"
        "assert not {'torch', 'ray'} & set(sys.modules)\n"
        "status = Path('/proc/self/status')\n"  # getrusage would give the peak of the tests' own process
        "own = status.read_text().split('VmHWM:')[1].split()[0] if status.exists() else None\n"
        "print(own or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
    )
    peak = int(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)
    megabytes = peak / 2**20 if sys.platform == "darwin" else peak / 2**10
    assert megabytes < 300


def test_it_says_how_it_was_made(table):
    about = table.describe().about
    assert "5,044" in about.source
    assert {"workload", "seed_agreement", "made_on", "splits"} <= about.constants.keys()
    assert Path(table.describe().path).stat().st_size < 5_000_000
