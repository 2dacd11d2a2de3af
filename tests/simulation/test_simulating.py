"""A simulated cluster: the decisions of the search itself, and time that passes as it should."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pytest
from tables import write_table

from raynas import results
from raynas.config import Experiment, TuneOptions
from raynas.errors import InputError
from raynas.journal import MemoryJournal
from raynas.search.asktell import Objective, SearchContext
from raynas.search.run import Run
from raynas.search.scheduler.asha import Asha
from raynas.search.scheduler.fifo import Fifo
from raynas.search.searcher.local_search import LocalSearch
from raynas.search.searcher.neighborhood import Neighborhood
from raynas.search.searcher.random_search import RandomSearch
from raynas.search.searcher.regularized_evolution import RegularizedEvolution
from raynas.simulation import Cluster, simulate
from raynas.simulation.cluster import Failures
from raynas.spaces import get_space
from raynas.workloads.query_table import CostModel, QueryTable
from raynas.workloads.train_architecture import TrainArchitecture

OBJECTIVE = Objective("valid_accuracy_pct", "max")
SEARCHERS = {
    "random": RandomSearch(60),
    "neighborhood": Neighborhood(base=RandomSearch(8), n_nbr=6),
    "evolution": RegularizedEvolution(60),
    "local": LocalSearch(60),
}


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return str(write_table(tmp_path_factory.mktemp("tables") / "toy.parquet").path)


@pytest.fixture
def experiment(table):
    return Experiment(
        search_space="nas_bench_201",
        table=table,
        workload=QueryTable(),
        searcher=SEARCHERS["random"],
        report=OBJECTIVE,
        seed=3,
    )


def played_in_a_loop(experiment):
    """One trial at a time, every epoch reported, by a plain loop over a run with a journal."""
    context = SearchContext(get_space(experiment.search_space), experiment.report, experiment.seed)
    journal = MemoryJournal()
    journal.append([{"kind": "run", "name": "loop", "space": "nas_bench_201", "metric": "", "mode": "max"}])
    scheduler = experiment.scheduler.start(experiment.report)
    run = Run(experiment.searcher.start(context), scheduler, experiment.report, journal, clock=lambda: 0.0)
    workloads = {}
    while True:
        resumable = run.next_to_resume()
        taken = [run.resume(resumable)] if resumable is not None else run.take(1)
        if not taken:
            return run, journal.records
        proposal = taken[0].proposal
        if proposal.id not in workloads:
            workloads[proposal.id] = experiment.workload.start(experiment.trial(proposal))
        workload, decision = workloads[proposal.id], "continue"
        while decision == "continue":
            report = workload.step()
            decision = run.report(proposal.id, report, done=workload.done)


def comparable(frame):
    return frame.drop(columns=["run", "time"])


@pytest.mark.parametrize("searcher", SEARCHERS)
@pytest.mark.parametrize("scheduler", [Fifo(), Asha(eta=3), Asha(eta=2, variant="stopping")], ids=str)
def test_one_worker_makes_the_frame_that_a_plain_loop_makes(experiment, searcher, scheduler):
    planned = replace(experiment, searcher=SEARCHERS[searcher], scheduler=scheduler)
    run, records = played_in_a_loop(planned)
    played = simulate(planned, Cluster())
    pd.testing.assert_frame_equal(comparable(played.frame()), comparable(results.frame(records)))
    assert played.run.best == run.best
    assert played.run.counts == run.counts


@pytest.mark.parametrize("searcher", SEARCHERS)
def test_what_a_search_finds_does_not_hang_on_the_number_of_workers(experiment, searcher):
    planned = replace(experiment, searcher=SEARCHERS[searcher])
    one, many = simulate(planned, Cluster()), simulate(planned, Cluster(workers=7, start_up_s=0.3))
    pd.testing.assert_frame_equal(comparable(one.frame()), comparable(many.frame()))
    assert many.elapsed_s < one.elapsed_s


@dataclass(frozen=True)
class Stepwise:
    """A scheduler that does not say when it decides."""

    inner: Asha

    def start(self, objective):
        scheduler = self.inner.start(objective)

        class Silent:
            report = scheduler.report
            next_to_run = scheduler.next_to_run

        return Silent()


@pytest.mark.parametrize("scheduler", [Asha(), Asha(variant="stopping")], ids=str)
def test_passing_over_epochs_without_a_decision_changes_nothing(experiment, scheduler):
    planned = replace(experiment, scheduler=scheduler)
    quick = simulate(planned, Cluster(workers=5))
    slow = simulate(replace(planned, scheduler=Stepwise(scheduler)), Cluster(workers=5))
    pd.testing.assert_frame_equal(quick.frame(), slow.frame())
    assert quick.elapsed_s == pytest.approx(slow.elapsed_s)
    assert quick.n_events < slow.n_events


@pytest.mark.parametrize(("workers", "rounds"), [(1, 30), (7, 5), (30, 1), (100, 1)])
def test_equal_trainings_take_as_many_rounds_as_they_must(experiment, workers, rounds):
    planned = replace(
        experiment, workload=QueryTable(cost=CostModel(epoch_s=4)), searcher=RandomSearch(30), seed=1
    )
    played = simulate(planned, Cluster(workers=workers, start_up_s=1.5))
    assert played.run.counts.unique == 30
    assert played.elapsed_s == pytest.approx(rounds * (1.5 + 9 * 4))
    assert played.busy_s == pytest.approx(30 * (1.5 + 9 * 4))


def test_checkpoints_take_time_when_a_trial_pauses_when_it_goes_on_and_every_few_epochs(experiment):
    """Two trials pause at epochs 1, one at 2, 4 and 8: one, two, two, two and one epoch of 4 s."""
    planned = replace(
        experiment,
        workload=QueryTable(cost=CostModel(epoch_s=4)),
        searcher=RandomSearch(2),
        scheduler=Asha(eta=2),
        tune=TuneOptions(checkpoint_every=0),
    )
    played = simulate(planned, Cluster(checkpoint_s=0.5))
    assert played.run.counts.finished == 0, "a rung of one has no best half"
    assert played.elapsed_s == pytest.approx((2 + 1) * 4 + 0.5 * (3 + 1))
    whole = replace(planned, scheduler=Fifo(), searcher=RandomSearch(1), tune=TuneOptions(checkpoint_every=4))
    assert simulate(whole, Cluster(checkpoint_s=0.5)).elapsed_s == pytest.approx(9 * 4 + 2 * 0.5)


def test_paused_trials_hold_no_worker(experiment):
    planned = replace(experiment, scheduler=Asha(eta=3), searcher=RandomSearch(90))
    played = simulate(planned, Cluster(workers=2))
    assert len(played.run.paused) > 30
    assert played.busy_s > 0.98 * 2 * played.elapsed_s


def test_times_rise_along_each_trial_and_end_with_the_simulation(experiment):
    played = simulate(replace(experiment, scheduler=Asha()), Cluster(workers=4, start_up_s=0.1))
    frame = played.frame()
    own = frame[frame["status"] != "reused"]
    seconds = own["time"].astype("int64") / 1e6
    rises = seconds.groupby(own["proposal"]).diff().dropna()
    assert (rises > 0).all()
    assert seconds.max() == pytest.approx(played.elapsed_s, abs=1e-5)


@pytest.mark.parametrize("every", [0, 1, 3])
def test_lost_workers_cost_time_and_nothing_else(experiment, every):
    planned = replace(experiment, tune=TuneOptions(checkpoint_every=every, max_failures=1000))
    sound = simulate(planned, Cluster(workers=4))
    shaky = simulate(planned, Cluster(workers=4, mtbf_s=60, repair_s=5))
    assert shaky.n_worker_failures > 5
    assert shaky.elapsed_s > sound.elapsed_s
    pd.testing.assert_frame_equal(comparable(shaky.frame()), comparable(sound.frame()))
    assert not shaky.frame().duplicated(["proposal", "epoch"]).any()


def test_a_trial_lost_too_often_has_failed(experiment):
    planned = replace(experiment, tune=TuneOptions(checkpoint_every=0, max_failures=1))
    played = simulate(planned, Cluster(workers=4, mtbf_s=20))
    frame = played.frame()
    failed = frame[frame["status"] == "failed"]
    assert played.run.counts.failed == failed["proposal"].nunique() > 0
    assert set(failed["failure"]) == {"lost: worker lost 2 times"}
    assert played.run.counts.finished + played.run.counts.failed == played.run.counts.unique


def test_a_lost_trial_goes_on_from_its_last_checkpoint(experiment, monkeypatch):
    """The only worker fails once, at second 23 of epochs of 4 s, in the sixth epoch; it is back at 30."""
    failures = iter([23.0, math.inf, math.inf])
    monkeypatch.setattr(Failures, "_after", lambda self, at: next(failures))
    planned = replace(
        experiment,
        workload=QueryTable(cost=CostModel(epoch_s=4)),
        searcher=RandomSearch(1),
        tune=TuneOptions(checkpoint_every=2),
    )
    played = simulate(planned, Cluster(repair_s=7, start_up_s=1))
    # 22 s are five epochs and the start; the checkpoint is of epoch 4, so five epochs are left
    assert played.elapsed_s == pytest.approx(30 + 1 + 5 * 4)
    seconds = played.frame()["time"].astype("int64") / 1e6
    assert seconds.tolist() == pytest.approx([5, 9, 13, 17, 21, 39, 43, 47, 51])


def test_failures_are_those_of_the_seed(experiment):
    def frame(seed):
        return simulate(replace(experiment, seed=seed), Cluster(workers=3, mtbf_s=50)).frame()

    pd.testing.assert_frame_equal(frame(3), frame(3))
    assert not frame(3)["time"].equals(frame(4)["time"])


def test_failures_come_as_often_as_they_should():
    """Exponential with mean 10 s and 10 s of repair: 50 a worker in 1,000 s, to within 4 standard errors."""
    n_workers = 200
    failures = Failures(Cluster(workers=n_workers, mtbf_s=10, repair_s=10), seed=0)
    counts = np.zeros(n_workers)
    for worker in range(n_workers):
        while failures.next(worker) < 1000:
            failures.repaired(worker)
            counts[worker] += 1
    assert counts.mean() == pytest.approx(50.25, abs=4 * counts.std() / math.sqrt(n_workers))


def test_more_workers_than_the_config_allows_are_not_used(experiment):
    planned = replace(experiment, tune=TuneOptions(max_concurrent=2))
    two, many = simulate(planned, Cluster(workers=2)), simulate(planned, Cluster(workers=50))
    assert many.elapsed_s == two.elapsed_s


def test_real_trainings_timeless_tables_and_sweeps_are_refused(experiment, tmp_path):
    with pytest.raises(InputError, match="sweep: a simulation plays one configuration"):
        simulate(replace(experiment, sweep={"workload.epoch": {"grid": [1, 2]}}), Cluster())
    with pytest.raises(InputError, match="TrainArchitecture trains for real"):
        simulate(replace(experiment, workload=TrainArchitecture()), Cluster())
    free = write_table(tmp_path / "free.parquet", costs=False)
    with pytest.raises(InputError, match=r"set workload\.cost\.epoch_s"):
        simulate(replace(experiment, table=str(free.path)), Cluster(workers=2))


@pytest.mark.parametrize(
    "options", [{"workers": 0}, {"start_up_s": -1}, {"mtbf_s": 0}, {"repair_s": math.inf}]
)
def test_impossible_clusters_are_refused(options):
    with pytest.raises(ValueError, match=f"^{next(iter(options))}: "):
        Cluster(**options)
