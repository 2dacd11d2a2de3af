from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from raynas import assets
from raynas.config import Experiment, load, load_text, override, to_yaml, with_values
from raynas.errors import ConfigError, InputError
from raynas.flatness.aggregator.variance import Variance
from raynas.search.asktell import Objective
from raynas.search.searcher.neighborhood import Neighborhood
from raynas.search.searcher.random_search import RandomSearch
from raynas.supernets.skeleton.darts import Darts
from raynas.supernets.skeleton.nas_bench_201 import NasBench201
from raynas.workloads.train_architecture import TrainArchitecture

BASE = """\
search_space: nas_bench_201
dataset: digits
workload: {name: train_architecture, epochs: 2}
searcher:
  name: neighborhood
  base: random_search
  d: 1
  n_nbr: 4
  aggregator: {name: variance, lam: 2}
report: {metric: valid_accuracy_pct}
"""


@dataclass(frozen=True)
class Stopping:
    """A scheduler of a user's own."""

    def start(self, objective: Objective) -> None:
        raise NotImplementedError


@dataclass(frozen=True)
class Starting:
    """A workload of a user's own, to which the following add one defect each."""

    def start(self, trial: object) -> None:
        raise NotImplementedError


@dataclass(frozen=True)
class Unresolved(Starting):
    x: NoSuchType = 0  # noqa: F821


@dataclass(frozen=True)
class Unreadable(Starting):
    x: re.Scanner = None


@dataclass(frozen=True)
class BrokenCheck(Starting):
    def __post_init__(self) -> None:
        raise TypeError("odd")


@dataclass(frozen=True)
class FailedAssertion(Starting):
    def __post_init__(self) -> None:
        assert self.__class__ is None


@dataclass(frozen=True)
class OwnName(Starting):
    name: str = "x"


@dataclass(frozen=True)
class BrokenProblems(Starting):
    def problems(self, space: object) -> None:
        raise KeyError("odd")


@dataclass(frozen=True)
class NoPairs(Starting):
    def problems(self, space: object) -> list[int]:
        return [1]


@dataclass(frozen=True)
class Idle:
    """Has no method at all."""


@dataclass(frozen=True)
class Collecting(Starting):
    tags: frozenset[str] = frozenset({"b", "a"})
    where: Path = Path("/x")
    note: str = "1e3"


def experiment(text: str = BASE, *overrides: str) -> Experiment:
    return load_text(text, source="x.yaml", overrides=[override(item) for item in overrides])


def problems(text: str, *overrides: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        experiment(text, *overrides)
    return str(caught.value).splitlines()


def test_a_file_becomes_the_components_that_it_names():
    made = experiment()
    assert made.workload == TrainArchitecture(epochs=2)
    assert made.searcher == Neighborhood(base=RandomSearch(), d=1, n_nbr=4, aggregator=Variance(lam=2.0))
    assert made.report.mode == "max"
    assert made.batch == 1


@pytest.mark.parametrize("name", assets.names("tune_configs"))
@pytest.mark.parametrize("smoke", [False, True])
def test_every_shipped_configuration_is_in_order_and_survives_being_written_out(name, smoke):
    made = load(name, smoke=smoke, here=False)
    again = load_text(to_yaml(made), source="resolved", here=False)
    assert again == made
    assert to_yaml(again) == to_yaml(made)


@pytest.mark.parametrize("name", assets.names("tune_configs"))
def test_every_shipped_configuration_says_first_what_it_is(name):
    first = (assets.directory("tune_configs") / f"{name}.yaml").read_text().splitlines()[0]
    assert first.startswith(f"# tune_configs/{name}.yaml: ")


def test_smoke_makes_every_count_small_and_leaves_the_rest():
    large = load("na_rs_digits")
    small = load("na_rs_digits", smoke=True)
    assert small.searcher.base.n_proposals <= 3
    assert small.searcher.n_nbr <= 3
    assert small.workload.epochs <= 2
    assert small.searcher.d == large.searcher.d
    assert small.report == large.report


@pytest.mark.parametrize(
    ("name", "small"), [("a2m_nb201", NasBench201(4, cells=1)), ("pc_darts", Darts(4, layers=3))]
)
def test_smoke_shrinks_a_network_that_is_put_together_by_custom(name, small):
    assert load(name, smoke=True, here=False).workload.skeleton == small


def test_smoke_values_of_a_file_take_effect_and_the_command_line_has_the_last_word(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text(BASE + "smoke: {searcher.d: 2, seed: 7}\n")
    made = load(str(path), [override("seed=9")], smoke=True)
    assert made.searcher.d == 2
    assert made.seed == 9


def test_overrides_reach_into_components_also_into_those_given_by_name_alone():
    made = experiment(BASE, "searcher.base.n_proposals=7", "dataset=digits", "tune.resources.gpu=0.5")
    assert made.searcher.base.n_proposals == 7
    assert made.tune.resources.gpu == 0.5


def test_an_override_replaces_a_whole_component():
    made = experiment(BASE, "searcher={name: random_search, n_proposals: 3}")
    assert made.searcher == RandomSearch(n_proposals=3)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("Unresolved", "the type hints of Unresolved cannot be resolved: NameError: .*import"),
        ("Unreadable, x: 1", r"\.x: no value can be read as .*Scanner.*; use bool"),
        ("BrokenCheck", "BrokenCheck does not take these options: TypeError: odd"),
        ("FailedAssertion", "FailedAssertion does not take these options: AssertionError"),
        ("OwnName", "has a field 'name', .*rename the field"),
        ("BrokenProblems", "BrokenProblems.problems raised KeyError: 'odd'"),
        ("NoPairs", "NoPairs.problems raised TypeError: .*correct the class"),
    ],
)
def test_a_users_class_that_does_not_work_is_refused_in_words(kind, message):
    kind, *options = kind.partition(",")
    found = problems(BASE.replace("train_architecture, epochs: 2", f"{__name__}:{kind}{''.join(options)}"))
    assert len(found) == 1
    assert re.search(rf"^x\.yaml:3: workload.*{message}", found[0]), found


@pytest.mark.parametrize(
    ("change", "noun", "method"),
    [
        (("name: train_architecture, epochs: 2", "name: IDLE"), "workload", "start"),
        (("base: random_search", "base: IDLE"), "searcher", "start"),
        (("report:", "scheduler: IDLE\nreport:"), "scheduler", "start"),
        (("digits", "IDLE"), "dataset", "load"),
        (("name: variance, lam: 2", "name: IDLE"), "aggregator", "__call__"),
    ],
)
def test_a_class_without_the_method_of_its_slot_is_refused(change, noun, method):
    text = BASE.replace(*change).replace("IDLE", f"{__name__}:Idle")
    assert re.search(f"Idle is not a {noun}: it has no method {method}", problems(text)[0])


@pytest.mark.parametrize(
    ("resources", "message"),
    [
        ("cpu: .nan", "cpu: nan is not a finite number"),
        ("gpu: .inf", "gpu: inf is not a finite number"),
        ("custom: {x: .inf}", "custom: x: inf is not a finite number"),
        ("custom: {x: -1}", "custom: x: -1.0 is negative"),
        ("custom: {GPU: 1}", "custom: GPU has a key of its own; give gpu beside custom"),
    ],
)
def test_resources_that_no_cluster_has_are_refused(resources, message):
    assert problems(BASE + f"tune: {{resources: {{{resources}}}}}\n") == [
        f"x.yaml:11: tune.resources.{message}" + ("" if "beside" in message else "; give 0 or more")
    ]


def test_sets_and_strings_like_numbers_survive_being_written_out():
    made = experiment(BASE, f"workload={__name__}:Collecting")
    assert load_text(to_yaml(made), source="resolved") == made


@pytest.mark.parametrize("text", ["workload.lr=[", "seed=" + "1" * 5000, "seed=&x 1"])
def test_an_override_whose_value_is_no_yaml_is_refused_with_its_text(text):
    with pytest.raises(ConfigError) as caught:
        override(text)
    assert str(caught.value).startswith(f"-o {text}: not valid YAML: ")


def test_only_plain_digits_of_a_sane_length_are_a_position_in_a_list():
    assert override("a.0=1").path == ("a", 0)
    with pytest.raises(InputError, match=r"tune\.loggers is a list of 1"):
        experiment(BASE + "tune: {loggers: [csv]}\n", "tune.loggers.²=csv")
    assert override(f"a.{'1' * 5000}=1").path == ("a", "1" * 5000)


def test_a_key_of_digits_is_the_same_key_in_a_file_and_on_the_command_line():
    text = BASE + "tune: {resources: {custom: {'7': 1}}}\n"
    assert experiment(text, "tune.resources.custom.7=2").tune.resources.custom == {"7": 2.0}


@pytest.mark.parametrize("text", ["seed", "=3", ".=3", "a..b=1"])
def test_an_override_of_no_such_form_is_refused(text):
    with pytest.raises(InputError, match=r"write key\.path=value"):
        override(text)


def test_an_override_below_a_single_value_is_refused():
    with pytest.raises(InputError, match="seed is a single value"):
        experiment(BASE + "seed: 1\n", "seed.x=2")


def test_all_problems_come_in_one_report_with_their_lines():
    text = BASE.replace("d: 1", "d: one").replace("n_nbr: 4", "n_nbr: 0").replace("digits", "digitz")
    found = problems(text + "seedling: 3\ntune: {max_concurrent: 0, max_failures: -1}\n")
    assert [line.split(":")[1] for line in found] == ["2", "7", "8", "11", "12", "12"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("n_nbr: 4", "n_neighbors: 4"), r"x\.yaml:8: searcher\.n_neighbors: unknown key"),
        (("d: 1", "d: 1.5"), r"x\.yaml:7: searcher\.d: 1\.5: .*integer"),
        (("d: 1", "d: '1'"), r"x\.yaml:7: searcher\.d: '1': .*integer"),
        (("d: 1", "d: true"), r"x\.yaml:7: searcher\.d: True: .*integer"),
        (("d: 1", "d: -1"), r"x\.yaml:7: searcher\.d: -1 is below 0"),
        (("d: 1", "d: 9"), r"x\.yaml:7: searcher\.d: 9 exceeds the 6 edges of nas_bench_201"),
        (("n_nbr: 4", "n_nbr: 26"), r"x\.yaml:8: searcher\.n_nbr: 26 exceeds the 25 architectures"),
        (
            ("variance", "varianz"),
            r"aggregator: unknown aggregator 'varianz'; did you mean 'variance'\? Available",
        ),
        (("lam: 2", "lambda: 2"), r"x\.yaml:9: searcher\.aggregator\.lambda: unknown key"),
        (("name: neighborhood", "base: x"), r"x\.yaml:6: searcher\.base: the key is given twice"),
        (("nas_bench_201", "nas_bench_101"), r"x\.yaml:1: search_space: no search_spaces/nas_bench_101"),
        (("valid_accuracy_pct", "valid_accuracy"), r"report\.metric: .*did you mean 'valid_accuracy_pct'\?"),
        (("report: {metric: valid_accuracy_pct}", "seed: 1"), r"report: is missing"),
        (("metric: valid_accuracy_pct", "metric: valid_accuracy_pct, mode: best"), r"report\.mode: 'best'"),
        (("dataset: digits", "seed: 3"), r"dataset: is missing"),
        (
            ("workload: {name: train_architecture, epochs: 2}", "workload: {epochs: 2}"),
            r"workload: .*write its name",
        ),
        (("epochs: 2", "epochs: 0"), r"x\.yaml:3: workload\.epochs: 0"),
        (("base: random_search", "base: neighborhood"), r"searcher\.base: a neighborhood of neighborhoods"),
    ],
)
def test_bad_input_is_refused_with_its_place_and_a_remedy(change, message):
    text = BASE.replace(*change)
    assert text != BASE
    assert any(re.search(message, line) for line in problems(text)), problems(text)


def test_a_problem_of_an_override_names_the_override():
    assert problems(BASE, "searcher.d=9")[0].startswith("-o searcher.d=9: searcher.d: 9 exceeds")


@pytest.mark.parametrize("text", ["", "- 1\n", "just words\n"])
def test_a_file_that_holds_no_mapping_is_refused(text):
    assert "holds no experiment" in problems(text)[0]


def test_a_batch_cannot_go_with_a_scheduler_that_stops_trials():
    text = BASE + f"batch: 4\nscheduler: {__name__}:Stopping\n"
    assert problems(text)[0].startswith("x.yaml:11: batch: 4 proposals a trial cannot be stopped one by one")


def test_a_logger_that_is_not_installed_is_refused_with_its_remedy(monkeypatch):
    monkeypatch.setattr("raynas.config.checking._installed", lambda module: module != "wandb")
    text = BASE + "tune: {loggers: [tensorboard, wandb]}\n"
    assert problems(text) == [
        "x.yaml:11: tune.loggers.1: wandb is not installed; pip install 'raynas[wandb]', or leave it out"
    ]


def test_a_search_space_given_by_a_relative_path_is_the_same_file_from_anywhere(tmp_path, monkeypatch):
    source = (assets.directory("search_spaces") / "nas_bench_201.yaml").read_text()
    (tmp_path / "mine.yaml").write_text(source)
    monkeypatch.chdir(tmp_path)
    assert experiment(BASE, "search_space=./mine.yaml").search_space == f"{tmp_path}/mine.yaml"


def test_a_search_space_of_the_working_directory_given_by_name_is_the_same_file_from_anywhere(
    tmp_path, monkeypatch
):
    source = (assets.directory("search_spaces") / "nas_bench_201.yaml").read_text()
    (tmp_path / "search_spaces").mkdir()
    (tmp_path / "search_spaces" / "mine.yaml").write_text(source)
    monkeypatch.chdir(tmp_path)
    made = experiment(BASE, "search_space=mine")
    assert made.search_space == f"{tmp_path}/search_spaces/mine.yaml"
    assert experiment().search_space == "nas_bench_201"
    monkeypatch.chdir("/")
    assert load_text(to_yaml(made), source="resolved") == made
    monkeypatch.chdir(assets.directory("search_spaces").parent)
    assert experiment().search_space == "nas_bench_201"


def test_missing_data_files_are_found_before_anything_runs(tmp_path):
    found = problems(BASE, f"dataset={{name: cifar10, root: {tmp_path}}}")
    assert "dataset" in found[0]
    assert str(tmp_path) in found[0]


def test_a_cluster_elsewhere_need_not_have_its_files_here(tmp_path):
    text = BASE.replace("dataset: digits", f"dataset: {{name: cifar10, root: {tmp_path}}}")
    assert load_text(text, source="x.yaml", here=False).dataset is not None


def test_a_configuration_of_the_working_directory_is_found_by_name(tmp_path, monkeypatch):
    (tmp_path / "tune_configs").mkdir()
    (tmp_path / "tune_configs" / "mine.yaml").write_text(BASE)
    monkeypatch.chdir(tmp_path)
    assert load("mine") == experiment()
    assert load("tune_configs/mine.yaml") == experiment()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("na_rs_digit", "did you mean 'na_rs_digits'"),
        ("x/y.yaml", "no such file"),
        ("n" * 300, "cannot be read: File name too long"),
        ("n" * 300 + ".yaml", "cannot be read: File name too long"),
    ],
)
def test_a_configuration_that_is_not_there_is_refused(name, message):
    with pytest.raises(InputError, match=message):
        load(name)


def test_a_pyramid_higher_than_the_trainings_is_refused():
    text = BASE + "scheduler: {name: nosh, levels: [1, 5], n_first: 2, n_pool: 4}\n"
    with pytest.raises(ConfigError, match=r"scheduler\.levels: .*at epoch 5, and the workload ends at 2"):
        load_text(text, source="x.yaml")


SWEEP = """\
search_space: nas_bench_201
dataset: digits
workload: differentiable_search
method: {epochs: 3, weights: {lr: 0.1}}
sweep:
  method.weights.lr: {grid: [0.1, 0.2]}
  seed: {grid: [0, 1]}
report: {metric: valid_accuracy_pct}
"""


@pytest.mark.parametrize(
    "given",
    ["sweep.method.weights.lr={grid: [0.3]}", "sweep.method.weights.lr.grid=[0.3]"],
)
def test_an_override_reaches_a_swept_key_by_its_dotted_path(given):
    overrides = [
        override(given),
        override("sweep.method.weights.lr.grid.0=0.4"),
        override("sweep.seed.grid.1=7"),
    ]
    swept = load_text(SWEEP, source="x.yaml", overrides=overrides).sweep
    assert swept == {"method.weights.lr": {"grid": [0.4]}, "seed": {"grid": [0, 7]}}
    bare = SWEEP.replace("  method.weights.lr: {grid: [0.1, 0.2]}\n", "")
    assert load_text(bare, source="x.yaml", overrides=overrides).sweep == swept


def test_swept_values_take_the_place_of_the_configurations():
    experiment = load_text(SWEEP, source="x.yaml")
    swept = with_values(experiment, {"method.weights.lr": 0.2, "seed": 1})
    assert (swept.method.weights.lr, swept.seed, swept.method.epochs) == (0.2, 1, 3)
    assert (experiment.method.weights.lr, experiment.seed) == (0.1, 0)
    assert with_values(experiment, {}) is experiment


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ("method.weights.lr: {grid: [0.1, 0.2]}", "method.weights.rl: {grid: [1]}"),
            "rl: unknown key. It takes",
        ),
        (("grid: [0.1, 0.2]", "grid: [0.1, -0.2]"), "-0.2: method.weights.lr: -0.2 is not positive"),
        (("grid: [0.1, 0.2]", "gird: [0.1, 0.2]"), "did you mean 'grid'"),
        (
            ("grid: [0.1, 0.2]", "uniform: [0.1, 0.2]"),
            "grid needs lists, and method.weights.lr is",
        ),
        (
            ("report:", "searcher: random_search\nreport:"),
            "proposes architectures, and differentiable",
        ),
        (("method: {epochs: 3, weights: {lr: 0.1}}\n", ""), "method: is missing"),
        (("differentiable_search", "train_architecture"), "method: train_architecture runs none"),
        (
            ("differentiable_search", "train_architecture"),
            "proposes no architectures, and train_arch",
        ),
        (("{epochs: 3,", "{epochs: 3, arch_gradient: first_odrer,"), "did you mean 'first_order'"),
        (("{epochs: 3,", "{arch_gradient: {name: a2m, inner: frozen},"), "method.arch_gradient"),
        (
            ("{epochs: 3,", "{relaxation: gumbel, arch_gradient: {name: a2m, inner: neighborhood},"),
            "method.arch_gradient.inner: neighborhood moves the weights of all operations",
        ),
        (
            ("{epochs: 3,", "{relaxation: dirichlet, stopping: hessian_eigenvalue,"),
            "method.stopping: hessian_eigenvalue takes second derivatives",
        ),
        (
            ("{epochs: 3,", "{mixed_op: [{name: partial_channels, k: 3}],"),
            "3 does not divide the 16",
        ),
        (("{epochs: 3,", "{arch_gradient: frozen, arch_regularizer: beta,"), "has nothing to act on"),
        (
            ("{epochs: 3,", "{relaxation: gumbel, mixing_perturbation: random,"),
            "method.mixing_perturbation: random moves the weights of all operations",
        ),
        (
            ("{epochs: 3,", "{stopping: best_validation_loss, decision: [perturbation],"),
            "method.stopping: perturbation decides after the last epoch",
        ),
        (("{epochs: 3,", "{epochs: 3, warmup_epochs: 3,"), "method.warmup_epochs: in all 3 epochs"),
        (("{epochs: 3,", "{decision: [stages],"), "method.decision.0.epochs: a stage that ends after 50"),
        (
            ("{epochs: 3,", "{epochs: 9, decision: [greedy],"),
            "method.decision.0.warmup: 9 epochs are the whole",
        ),
        (
            ("{epochs: 3,", "{decision: [{name: stages, epochs: [2], k: [2]}],"),
            "method.decision.0.k: no edge has partial channels to widen",
        ),
        (
            (
                "{epochs: 3,",
                "{mixed_op: [partial_channels], decision: [{name: stages, epochs: [2], k: [8]}],",
            ),
            "method.decision.0.k: 8 is more than partial_channels' 4",
        ),
        (
            (
                "{epochs: 3,",
                "{mixed_op: [partial_channels], decision: [{name: stages, epochs: [2], k: [3]}],",
            ),
            "method.decision.0.k: 3 does not divide the 16",
        ),
        (
            ("{epochs: 3,", "{arch_regularizer: {name: beta, weight: {linear: [0, 1], ramp: [0, 1]}},"),
            "method.arch_regularizer.weight.ramp: unknown key. It takes linear",
        ),
        (
            ("{epochs: 3,", "{arch_regularizer: {name: beta, weight: {liner: [0, 1]}},"),
            "method.arch_regularizer.weight: {'liner': [0, 1]} has no key that is known; did you mean",
        ),
        (("valid_accuracy_pct", "hessian_eigenvalue"), "workload.hessian_every: has to be 1"),
    ],
)
def test_a_search_or_a_sweep_that_cannot_work_is_refused_in_words(change, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        load_text(SWEEP.replace(*change), source="x.yaml")
