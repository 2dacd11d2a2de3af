"""Population based training on Ray Tune: what is copied, what is written before it is, what stays on disk."""

from __future__ import annotations

import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from drivers import Driven

from raynas import journal, results
from raynas.search.asktell import Objective, Report, SearchContext
from raynas.search.run import Run
from raynas.search.scheduler.ray_tune import RayTune
from raynas.search.searcher.sweep import Sweep
from raynas.search.standing import Assignment, Progress
from raynas.search.sweep import ranges
from raynas.spaces import get_space
from raynas.storage import LocalFolder
from raynas.tune.bridge import Bridge
from raynas.tune.recorder import Recorder
from raynas.tune.scheduler_adaptor import RaySchedulerAdaptor, of_ray
from raynas.tune.searcher_adaptor import SearcherAdaptor
from raynas.tune.trainable import ASSIGNMENTS, PROGRESS

pytestmark = pytest.mark.ray

OBJECTIVE = Objective("level", "max")
RATE = "workload.rate"
TEXT = """\
search_space: nas_bench_201
workload: {name: "toy:Growing", epochs: 12}
sweep: {workload.rate: {grid: [1.0, 2.0, 3.0, 4.0]}, seed: {grid: [5]}}
scheduler:
  name: ray_tune
  scheduler: pbt
  options: {perturbation_interval: 2, hyperparam_mutations: {workload.rate: {uniform: [1.0, 8.0]}}}
report: {metric: level}
"""


class Trial:
    """As much of a trial of Tune's as schedulers look at."""

    def __init__(self, key: int, config: dict[str, Any]) -> None:
        self.trial_id, self.config, self.evaluated_params = f"t{key}", config, {}
        self.status, self.experiment_tag, self.last_result = "RUNNING", "", {}
        self.temporary_state = SimpleNamespace(saving_to=None)
        self.run_metadata = SimpleNamespace(
            checkpoint_manager=SimpleNamespace(
                checkpoint_config=SimpleNamespace(num_to_keep=None), _latest_checkpoint_result=None
            )
        )

    @property
    def is_saving(self) -> bool:
        return self.temporary_state.saving_to is not None

    @property
    def checkpoint(self) -> Any:
        made = self.run_metadata.checkpoint_manager._latest_checkpoint_result
        return made and made.checkpoint

    def is_finished(self) -> bool:
        return self.status == "TERMINATED"

    def set_config(self, config: dict[str, Any]) -> None:
        self.config = config

    def set_experiment_tag(self, tag: str) -> None:
        self.experiment_tag = tag


class Saved:
    """A checkpoint that is ready as soon as it is asked for."""

    def __init__(self, path: Path) -> None:
        self.checkpoint, self.path, self.metrics = self, str(path), {}

    def resolve(self, block: bool = True) -> Saved:
        return self


class Tune:
    """Tune with four trials of a sweep, their scheduler and the run that they belong to."""

    def __init__(self, folder: Path, name: str = "pbt", **options: Any) -> None:
        spec = RayTune(name, {"perturbation_interval": 2, **options})
        swept = ranges({RATE: {"grid": [1.0, 2.0, 3.0, 4.0]}, "seed": {"grid": [5]}})
        context = SearchContext(get_space("nas_bench_201"), OBJECTIVE, 0, swept)
        self.book = journal.MemoryJournal()
        self.run = Run(Sweep().start(context), spec.start(OBJECTIVE), OBJECTIVE, self.book)
        self.bridge = Bridge(self.run, batch=1, max_concurrent=None)
        self.folder, self.n_saves, self.n_asked = LocalFolder(folder), 0, 0
        self.scheduler: Any = of_ray(spec, OBJECTIVE)
        self.scheduler.join(self.bridge, self.folder, {RATE: 1.0})
        self.adaptor = RaySchedulerAdaptor(self.bridge, self.scheduler, OBJECTIVE, time_attr="epoch")
        self.recorder = Recorder(self.bridge, self.folder, keep_checkpoints=False)
        self.search_alg: Any = None
        self._cached_trial_decisions: dict[str, str] = {}
        self.trials: list[Trial] = []
        searcher = SearcherAdaptor(self.bridge)
        for key in range(4):
            config = searcher.suggest(f"t{key}")
            assert isinstance(config, dict)
            self.trials.append(Trial(key, config))
            self.adaptor.on_trial_add(self, self.trials[-1])  # type: ignore[arg-type]

    def get_trials(self) -> list[Trial]:
        return self.trials

    get_live_trials = get_trials

    def pause_trial(self, trial: Trial, should_checkpoint: bool = True) -> None:
        exploits = [record["id"] for record in self.book.records if record["kind"] == "exploit"]
        assert int(trial.trial_id[1:]) in exploits  # it is in the journal before it takes effect
        trial.status = "PAUSED"
        if trial.is_saving:
            self._cached_trial_decisions[trial.trial_id] = "STOP"

    def _schedule_trial_save(self, trial: Trial, result: Any = None) -> Saved:
        self.n_asked += 1
        return self.save(trial)

    def save(self, trial: Trial) -> Saved:
        """A trial writes a checkpoint, and Tune hears of it."""
        self.n_saves += 1
        saved = Saved(self.folder.path / trial.trial_id / f"{self.n_saves}_{trial.last_result['epoch']}")
        Path(saved.path).mkdir(parents=True)
        self.recorder.on_checkpoint(0, [], trial, saved)  # type: ignore[arg-type]
        trial.run_metadata.checkpoint_manager._latest_checkpoint_result = saved
        return saved

    def report(self, key: int, epoch: int, level: float) -> str:
        progress = Progress(key, Report({"level": level}, epoch))
        result = {PROGRESS: pickle.dumps([progress]), "epoch": epoch, "level": level}
        trial = self.trials[key]
        trial.last_result = result
        answer = self.adaptor.on_trial_result(self, trial, result)  # type: ignore[arg-type]
        self.recorder.on_trial_result(0, [], trial, result)  # type: ignore[arg-type]
        return answer

    def exploits(self) -> list[dict[str, Any]]:
        return [record for record in self.book.records if record["kind"] == "exploit"]

    def assigned(self, key: int) -> Assignment:
        (assignment,) = pickle.loads(self.trials[key].config[ASSIGNMENTS])
        return assignment


MUTATIONS = {"hyperparam_mutations": {RATE: {"uniform": [1.0, 8.0]}}}


@pytest.mark.parametrize(
    ("name", "options"), [("pbt", MUTATIONS), ("pb2", {"hyperparam_bounds": {RATE: [1, 8]}})]
)
def test_the_worst_goes_on_from_the_best_with_its_own_seed_and_other_values(tmp_path, name, options):
    tune = Tune(tmp_path, name, **options)
    for key in (1, 2, 3):  # the first is alone, and not saved
        for epoch in (1, 2):
            assert tune.report(key, epoch, 10.0 * key) == "CONTINUE"
    assert tune.report(0, 1, 0.0) == "CONTINUE"
    assert tune.report(0, 2, 0.0) == "NOOP"
    (fact,) = tune.exploits()
    assert (fact["id"], fact["donor"], fact["epoch"]) == (0, 3, 2)
    assert (tmp_path / fact["checkpoint"]).is_dir()
    assert 1.0 <= fact["config"][RATE] <= 8.0
    assigned = tune.assigned(0)
    assert assigned == tune.run.assignment(0)
    assert assigned.proposal.config == {RATE: tune.trials[0].config[RATE], "seed": 5}
    assert (assigned.checkpoint, assigned.donor) == (fact["checkpoint"], 3)
    assert tune.run.paused == (0,)
    latest = tune.trials[0].run_metadata.checkpoint_manager._latest_checkpoint_result
    assert latest.checkpoint.path == str(tmp_path / fact["checkpoint"])


def test_what_a_trial_reported_before_it_was_copied_into_is_not_recorded_after(tmp_path):
    tune = Tune(tmp_path, **MUTATIONS)
    tune.report(2, 2, 20.0)
    tune.report(3, 2, 30.0)
    tune.report(1, 5, 10.0)  # far ahead of whom it goes on from
    (fact,) = tune.exploits()
    assert (fact["id"], fact["epoch"]) == (1, 2)
    assert [record["epoch"] for record in tune.book.records if record["kind"] == "report"] == [2, 2, 5]
    assert tune.run.standing(1).epoch == 2


def test_in_step_all_that_is_due_is_copied_at_the_last_report(tmp_path):
    tune = Tune(tmp_path, synch=True, quantile_fraction=0.5, **MUTATIONS)
    for key in range(3):
        assert tune.report(key, 2, 10.0 * key) == "PAUSE"
        tune.save(tune.trials[key])
        tune.trials[key].status = "PAUSED"
    assert not tune.exploits()
    late = tune.trials[1]
    late.status, late.temporary_state.saving_to = "RUNNING", Saved(tmp_path / "late")
    assert tune.report(3, 2, 30.0) == "PAUSE"
    assert late.status == "PAUSED"
    assert not tune._cached_trial_decisions  # Tune would end the trial at its next checkpoint
    assert sorted((fact["id"], fact["donor"] > 1) for fact in tune.exploits()) == [(0, True), (1, True)]
    assert sorted(tune.run.paused) == [0, 1, 2, 3]


def test_a_trial_that_is_being_saved_is_not_saved_twice(tmp_path):
    tune = Tune(tmp_path, **MUTATIONS)
    for key in (0, 1, 2):
        tune.report(key, 2, 0.0 - key)
    before = tune.n_asked
    future = Saved(tmp_path / "t3")
    tune.trials[3].temporary_state.saving_to = future
    tune.report(3, 2, 30.0)
    assert tune.n_asked == before
    assert tune.scheduler._trial_state[tune.trials[3]].last_checkpoint is future
    result = {"should_checkpoint": True}
    tune.recorder.on_trial_result(0, [], tune.trials[3], result)  # type: ignore[arg-type]
    assert result == {"should_checkpoint": False}


def test_a_checkpoint_stays_while_a_trial_stands_on_it_or_may_come_to(tmp_path):
    tune = Tune(tmp_path, **MUTATIONS)
    tune.report(2, 2, 20.0)
    tune.report(3, 4, 40.0)
    kept = tmp_path / "t3" / "1_4"
    assert kept.is_dir()
    tune.trials[3].last_result = {**tune.trials[3].last_result, **_result(3, 5)}
    tune.save(tune.trials[3])
    assert kept.is_dir()  # the scheduler may still have others go on from it
    tune.report(0, 2, 0.0)
    (fact,) = [fact for fact in tune.exploits() if fact["id"] == 0]
    assert tmp_path / fact["checkpoint"] == kept
    tune.scheduler._trial_state[tune.trials[3]].last_checkpoint = None
    tune.save(tune.trials[3])
    assert kept.is_dir()  # the first has nothing else to go on from
    tune.bridge.resumed("t0")
    tune.report(0, 5, 50.0)
    tune.save(tune.trials[0])
    assert not kept.exists()


def _result(key: int, epoch: int) -> dict[str, Any]:
    return {PROGRESS: pickle.dumps([Progress(key, Report({"level": 0.0}, epoch))]), "epoch": epoch}


def assert_levels_tell_by_which_rates_they_were_reached(folder: LocalFolder) -> None:
    """Every report adds its trial's rate at that time to the level that it goes on from."""
    level: dict[tuple[int, int], float] = {}
    rate: dict[int, float] = {}
    made: dict[str, float] = {}
    for record in journal.read(folder):
        key = record.get("id", -1)
        match record["kind"]:
            case "proposal":
                rate[key], level[key, 0] = record["config"][RATE], 0.0
            case "report":
                due = level[key, record["epoch"] - 1] + rate[key]
                assert record["metrics"]["level"] == pytest.approx(due)
                level[key, record["epoch"]] = due
            case "checkpoint":
                made[record["path"]] = level[key, record["epoch"]]
            case "exploit":
                rate[key] = record["config"][RATE]
                level[key, record["epoch"]] = level[record["donor"], record["epoch"]]
                assert (
                    made.get(record["checkpoint"], level[key, record["epoch"]]) == level[key, record["epoch"]]
                )
    frame = results.of_run(folder)
    for _, rows in frame.groupby("proposal"):
        gained = rows["level"].diff() - rows[RATE]
        whole = rows["epoch"].diff() == 1
        jumps = whole & (gained.abs() > 1e-9)
        assert jumps.sum() <= sum(record["kind"] == "exploit" for record in journal.read(folder))
        assert rows["epoch"].iloc[-1] == 12


@pytest.mark.parametrize("synch", [False, True])
def test_trials_copy_levels_and_go_on_from_them_at_their_new_rates(run, synch):
    made, folder = run(f"scheduler.options.synch={str(synch).lower()}", text=TEXT)
    facts = [record for record in journal.read(folder) if record["kind"] == "exploit"]
    assert facts
    assert made.counts.finished == 4
    assert_levels_tell_by_which_rates_they_were_reached(folder)
    frame = results.of_run(folder)
    last = frame.drop_duplicates("proposal", keep="last").set_index("proposal")
    for key in {fact["id"] for fact in facts}:
        assert last[RATE][key] == made.standing(key).proposal.config[RATE] == last_value(facts, key)
    assert frame["seed"].eq(5).all()
    assert not list(folder.path.rglob("state.pt"))


def last_value(facts: list[dict], key: int) -> float:
    return [fact["config"][RATE] for fact in facts if fact["id"] == key][-1]


def test_a_run_killed_after_an_exploit_goes_on_with_its_values_from_its_checkpoint(tmp_path):
    hit = Driven(tmp_path, TEXT.replace("epochs: 12", "epochs: 12, epoch_s: 0.2"))
    before = hit.kill(lambda content: b'"exploit"' in content)
    assert "pbt starts afresh" in hit.end()
    after = journal.read(hit.folder)
    assert after[: len(before)] == before
    assert_levels_tell_by_which_rates_they_were_reached(hit.folder)
    # one that was being written as the driver was killed is in no journal
    named = {record.get("path", record.get("checkpoint")) for record in after} - {None}
    assert not [path for path in named if (hit.folder.path / path).exists()]
