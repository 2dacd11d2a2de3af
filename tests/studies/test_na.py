"""The study of neighborhoods against plain loops on a small space, and what it refuses."""

from __future__ import annotations

import os
import statistics
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from raynas.analysis.rank_correlation import kendall_tau
from raynas.benchmarks import About, Runs, write
from raynas.benchmarks.importing import IMPORTERS
from raynas.cli import main
from raynas.errors import InputError
from raynas.lookup import build
from raynas.spaces import get_space
from raynas.studies import STUDIES
from raynas.studies._na_signals import read
from raynas.studies.na import NA

# A Parquet file of NAS-Bench-201's 12-epoch results, one row a cell; whoever has one names it.
REAL = Path(os.environ.get("RAYNAS_NAS_BENCH_201_12EP", "not-named.parquet"))
EXPERIMENTS = [
    "flat_vs_sharp",
    "rank_correlation",
    "neighbor_variance",
    "aggregators",
    "n_nbr",
    "against_random_search",
]


def quiet(what):
    pass


def errors(table, metric, epoch, seed="mean"):
    """Of every architecture, as the loops below read them."""
    return [
        round(100 - table.query(metric, index, epoch=epoch, seed=seed), 9)
        for index in range(table.space.size)
    ]


def around(space, values, index):
    """The values of a neighborhood, the reference's first."""
    a = space.at(index)
    return [values[index], *(values[space.index(b)] for b in space.neighbors(a, 1))]


CRITERIA = {
    "base": lambda values: values[0],
    "mean": statistics.fmean,
    "median": statistics.median,
    "max": max,
    "variance": lambda values: values[0] + statistics.pstdev(values),
}
READINGS = [("mean of seeds", "mean"), ("seed 1", 1)]


def chosen(frame, reading, truth_seeds="all seeds", **values):
    for name, value in {"reading": reading, "truth_seeds": truth_seeds, **values}.items():
        frame = frame[frame[name] == value]
    return frame


@pytest.mark.parametrize(("reading", "seed"), READINGS)
def test_tau_over_the_whole_space_is_that_of_a_loop(study, reading, seed):
    table, found = study.table, study.frames["rank_correlation"]
    signal = errors(table, "valid_accuracy_pct", 2, seed)
    for truth, metric in (("digits", "test_accuracy_pct"), ("digits shifted", "shifted_accuracy_pct")):
        te = errors(table, metric, 20)
        scores = {
            name: [of(around(table.space, signal, index)) for index in range(125)]
            for name, of in CRITERIA.items()
        }
        scores["parameters"] = [-table.query("parameters_m", index) for index in range(125)]
        for name, values in scores.items():
            rows = chosen(found, reading, quantity=truth, criterion=name)
            assert rows["n_repeats"].tolist() == [400, 10]
            # Means of equal neighborhoods may differ in the last bit, which breaks a few ties.
            assert rows["of_all"].to_numpy() == pytest.approx(kendall_tau(values, te), abs=2e-3)
            assert rows["mean"].iloc[0] == pytest.approx(rows["of_all"].iloc[0], abs=0.02)


@pytest.mark.parametrize(("reading", "seed"), READINGS)
def test_flat_and_sharp_are_those_of_a_loop_up_to_ties(study, reading, seed):
    table = study.table
    signal, te = (
        errors(table, "valid_accuracy_pct", 2, seed),
        errors(table, "test_accuracy_pct", 20),
    )
    spread = [statistics.pvariance(around(table.space, signal, index)) for index in range(125)]
    rng = np.random.default_rng(0)
    means = {"flat": [], "sharp": []}
    for _ in range(400):
        order = sorted(range(125), key=lambda index: (signal[index], rng.random()))[:20]
        by_spread = sorted(order, key=lambda index: spread[index])
        means["flat"].append(statistics.fmean(te[index] for index in by_spread[:10]))
        means["sharp"].append(statistics.fmean(te[index] for index in by_spread[10:]))
    for group, values in means.items():
        row = chosen(study.frames["flat_vs_sharp"], reading, quantity="digits", group=group).iloc[0]
        deviation = statistics.pstdev(values)
        # Two means of 400 decisions each: four standard errors of their difference.
        assert row["mean"] == pytest.approx(statistics.fmean(values), abs=4 * deviation / np.sqrt(200) + 1e-9)


def test_the_best_by_each_criterion_are_those_of_a_loop(study):
    table = study.table
    signal, te = errors(table, "valid_accuracy_pct", 2), errors(table, "test_accuracy_pct", 20)
    for name, of in CRITERIA.items():
        scores = [of(around(table.space, signal, index)) for index in range(125)]
        order = sorted(range(125), key=scores.__getitem__)
        rows = chosen(study.frames["neighbor_variance"], "mean of seeds", criterion=name)
        values = dict(zip(rows["quantity"], rows["mean"], strict=True))
        if scores[order[19]] < scores[order[20]] - 1e-6:  # no tie across the end
            members = order[:20]
            spreads = [statistics.pstdev(around(table.space, signal, index)) for index in members]
            assert values["neighbor std"] == pytest.approx(statistics.fmean(spreads))
            assert values["neighbor variance"] == pytest.approx(statistics.fmean(s * s for s in spreads))
            assert values["digits"] == pytest.approx(statistics.fmean(te[index] for index in members))


def expected_return(scores, te, n):
    """Expected error of the least score of n uniform draws; equal scores are first come, first served."""
    total, before = 0.0, 0
    for score in sorted(set(scores)):
        tied = [te[index] for index in range(len(te)) if scores[index] == score]
        after = before + len(tied)
        size = len(te)
        total += ((1 - before / size) ** n - (1 - after / size) ** n) * statistics.fmean(tied)
        before = after
    return total


@pytest.mark.parametrize(("reading", "seed"), READINGS)
def test_searches_return_on_average_what_the_law_of_their_draws_says(study, reading, seed):
    table, found = study.table, study.frames["n_nbr"]
    signal = errors(table, "valid_accuracy_pct", 2, seed)
    te = errors(table, "test_accuracy_pct", 20)
    whole = {  # a subset of 13 of 13 is the whole neighborhood
        "NA-RS mean, 13": (
            [round(statistics.fmean(around(table.space, signal, i)), 9) for i in range(125)],
            12,
        ),
        "NA-RS median, 13": ([statistics.median(around(table.space, signal, i)) for i in range(125)], 12),
        "RS, 4": (signal, 48),
        "RS, 13": (signal, 156),
    }
    for name, (scores, n) in whole.items():
        row = chosen(found, reading, quantity="digits", search=name, n_repeats=400).iloc[0]
        error = row["std_repeats"] / np.sqrt(400)
        assert row["mean"] == pytest.approx(expected_return(scores, te, n), abs=4 * error), name


def test_both_budgets_and_both_numbers_of_repeats_are_told(study):
    found = study.frames["aggregators"]
    assert set(found["search"]) == {"NA-RS mean", "NA-RS median", "NA-RS max", "NA-RS variance", "RS"}
    assert set(found["nominal"]) == {48}
    assert (found["unique"] < 48).all()
    expected = 125 * (1 - (1 - 4 / 125) ** 12)
    rows = chosen(found, "mean of seeds", quantity="digits", search="NA-RS mean")
    assert rows["n_repeats"].tolist() == [400, 10]
    assert rows["unique"].iloc[0] == pytest.approx(expected, abs=0.3)


def test_a_seed_is_also_judged_by_the_others_and_all_seeds_are_taken_together(study):
    table, found = study.table, study.frames["rank_correlation"]
    te = np.mean([errors(table, "test_accuracy_pct", 20, seed) for seed in (0, 2)], axis=0)
    signal = errors(table, "valid_accuracy_pct", 2, 1)
    row = chosen(found, "seed 1", truth_seeds="other seeds", quantity="digits", criterion="base").iloc[0]
    assert row["of_all"] == pytest.approx(kendall_tau(signal, te))
    assert chosen(found, "mean of seeds", truth_seeds="other seeds").empty
    keys = {"quantity": "digits", "criterion": "mean", "n_repeats": 400}
    seeds = pd.concat([chosen(found, f"seed {seed}", **keys) for seed in (0, 1, 2)])
    together = chosen(found, "one seed", **keys).iloc[0]
    assert together["mean"] == pytest.approx(seeds["mean"].mean())
    assert together["std"] == pytest.approx(np.sqrt((seeds["std"] ** 2).mean() + seeds["mean"].var(ddof=0)))
    assert together["n_signals"] == 3


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_number_is_told_once(study, name):
    values = ["mean", "std", "std_members", "std_repeats", "of_all", "unique", "n_signals", "unit"]
    keys = [column for column in study.frames[name].columns if column not in values]
    assert not study.frames[name].duplicated(keys).any()
    n_members = {"flat_vs_sharp": 10, "neighbor_variance": 20}.get(name)
    if n_members:
        assert set(study.frames[name]["n_members"]) == {n_members}
        assert set(study.frames[name]["n_repeats"]) == {400}


def test_the_report_says_of_what_it_is(study):
    assert set(study.frames) == {*EXPERIMENTS, "seeds"}
    text = " ".join(study.text.split())
    for words in (
        "125 architectures",
        "at the epochs 2 of 20",
        "reference included: 13",
        "none stand beside",
    ):
        assert words in text


# The paper's figures


@pytest.fixture(scope="module")
def like_the_papers(tmp_path_factory):
    """A table with the datasets, schedule and epochs of NAS-Bench-201, of made-up numbers."""
    rng = np.random.default_rng(0)
    ops = get_space("nas_bench_201").ops_table()
    final = 70 + 3 * rng.normal(size=(6, 5))[np.arange(6), ops].sum(axis=1)
    indices = np.arange(15_625)

    def runs():
        signal = final[:, None] + rng.normal(size=(15_625, 3))
        yield Runs("cifar10_valid", 200, 777, (30, 90, 200), indices, {"valid_accuracy_pct": signal})
        yield Runs("cifar10_valid", 12, 777, (12,), indices, {"valid_accuracy_pct": final[:, None]})
        for dataset in ("cifar10", "cifar100"):
            yield Runs(dataset, 200, 777, (200,), indices, {"test_accuracy_pct": final[:, None]})

    path = tmp_path_factory.mktemp("papers") / "like.parquet"
    write(path, About("nas_bench_201", "a test", "nothing"), runs())
    return path


def test_the_papers_figures_stand_beside_the_same_dataset_schedule_and_epoch(like_the_papers):
    made = NA(str(like_the_papers), repeats=11).run(quiet)
    frames = {section.name: section.frame for section in made.sections}
    flat = frames["flat_vs_sharp"].set_index(["schedule", "epoch", "group", "quantity"])["paper"]
    assert flat[200, 30, "sharp", "cifar100"] == 30.10
    assert flat[200, 90, "flat", "validation error"] == 14.55
    assert flat[200].dropna().index.get_level_values("epoch").unique().tolist() == [30, 90]
    assert flat[12].isna().all()
    tau = frames["rank_correlation"].set_index(["schedule", "epoch", "criterion", "quantity"])["paper"]
    assert (tau[200, 90, "mean", "cifar100"] == 0.77).all()
    searches = frames["aggregators"].set_index(["schedule", "epoch", "search", "quantity", "n_repeats"])
    assert searches.loc[(200, 90, "NA-RS median", "cifar10", 11), ["paper", "paper_std"]].tolist() == [
        6.2,
        0.35,
    ]
    spread = frames["neighbor_variance"].set_index(["schedule", "epoch", "criterion", "quantity"])["paper"]
    assert spread[200, 90, "mean", "neighbor variance"] == spread[200, 90, "mean", "neighbor std"] == 2.71
    assert {section.name for section in made.sections} == set(EXPERIMENTS)
    assert "one seed" in made.text
    assert "stand beside those of the same dataset" in made.text


def test_the_signal_is_cifar_10s_validation_and_the_truths_are_of_the_longest_schedule(like_the_papers):
    from raynas.benchmarks import open_table

    material = read(open_table(like_the_papers), "valid_accuracy_pct", signal=None, dataset=None, epochs=())
    assert material.dataset == "cifar10_valid"
    assert list(material.truths) == ["cifar10", "cifar100"]
    assert [(signal.schedule, signal.epoch) for signal in material.signals] == [
        (200, 30),
        (200, 90),
        (200, 200),
        (12, 12),
    ]
    assert all(list(signal.truths) == ["all seeds"] for signal in material.signals)


# What is missing, and what cannot be


def test_a_table_of_last_values_only_is_studied_and_what_is_not_possible_is_said(make_table, tmp_path):
    leave_out = ("parameters_m", "shifted_accuracy_pct")
    table = make_table(epochs=(12,), seeds=(5,), leave_out=leave_out)
    made = NA(str(table.path), repeats=11, n_nbr=(4,), n_top=20).run(quiet)
    for words in ("known at epoch 12 only", "there is one seed", "no `parameters_m`"):
        assert words in made.text
    assert "seeds" not in {section.name for section in made.sections}


@pytest.mark.parametrize(
    ("made", "asked", "message"),
    [
        ({"leave_out": ["valid_accuracy_pct"]}, {}, "no dataset has valid_accuracy_pct, the search signal"),
        ({"leave_out": ["test_accuracy_pct"]}, {}, "no dataset has test_accuracy_pct, which is the truth"),
        ({"n": 124}, {}, "runs of 124 of 125 architectures"),
        ({}, {"dataset": "digit"}, "no dataset 'digit'; did you mean 'digits'"),
        ({}, {"signal": "cifar10"}, "no dataset 'cifar10'"),
        ({}, {"epochs": (21,)}, "is known at 1 to 20 of 20; give some of these"),
        ({}, {"n_nbr": (14,)}, "n_nbr: 14 must be from 1 to the 13"),
        ({}, {"n_top": 126}, "n_top: 126 must be from 1 to the 125"),
        ({}, {"d": 4}, "d: 4 is no radius"),
    ],
)
def test_what_cannot_be_studied_is_refused_in_one_sentence(make_table, made, asked, message):
    options = {"repeats": 2, "n_nbr": (4,), "n_top": 20, "epochs": (2,)} | asked
    with pytest.raises(InputError, match=message):
        NA(str(make_table(seeds=(0,), **made).path), **options).run(quiet)


@pytest.mark.parametrize(
    ("option", "value"), [("repeats", 0), ("n_steps", 0), ("n_top", 1), ("n_nbr", ()), ("n_nbr", (4, 4))]
)
def test_an_option_that_cannot_be_meant_is_refused(option, value):
    with pytest.raises(InputError, match=f"^{option}: "):
        NA(**{option: value})


# The command line


def test_the_command_writes_a_frame_a_text_and_a_figure_of_each_experiment(make_table, tmp_path, capsys):
    table = make_table(seeds=(0,), epochs=(12,), leave_out=["shifted_accuracy_pct"])
    options = ["--n-nbr", "4", "13", "--n-steps", "12", "--n-top", "20", "--repeats", "11"]
    out = tmp_path / "report"
    for _ in range(2):  # the second replaces the first
        assert main(["study", "na", "--table", str(table.path), "--out", str(out), *options]) == 0
    kinds = ("md", "parquet", "png")
    names = {"REPORT.md", *(f"{name}.{kind}" for name in EXPERIMENTS for kind in kinds)}
    assert {path.name for path in out.iterdir()} == names
    said = capsys.readouterr().out
    assert all(str(out / name) in said for name in names)
    table_2 = (out / "against_random_search.md").read_text()
    assert "numerically the row 'median'" in table_2
    assert "| NA-RS mean | 48 |" in table_2
    assert "10 searches" in table_2
    assert len(pd.read_parquet(out / "aggregators.parquet")) == 10


def test_help_tells_every_option_with_its_meaning(capsys):
    with pytest.raises(SystemExit):
        main(["study", "na", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert "--n-steps INT references of a search, the paper's T (default: 100)" in said
    assert "--n-nbr INT [INT ...]" in said
    assert "(default: 10 25)" in said


def test_a_broken_table_ends_with_two_and_one_message(capsys, tmp_path):
    (tmp_path / "t.parquet").write_bytes(b"PAR1 broken")
    assert main(["study", "na", "--table", str(tmp_path / "t.parquet"), "--out", str(tmp_path / "o")]) == 2
    said = capsys.readouterr()
    assert "t.parquet: not a whole table file" in said.err
    assert "Traceback" not in said.err + said.out
    assert not (tmp_path / "o").exists()


def test_a_directory_of_other_files_is_refused_before_any_work(capsys, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    assert main(["study", "na", "--table", "nowhere.parquet", "--out", str(tmp_path)]) == 2
    assert "holds other files and no report" in capsys.readouterr().err


def test_every_study_has_a_name_for_its_report():
    from raynas.lookup import available

    needed = {"genas": {"supernet": ("runs/supernet",)}}
    for name in available(STUDIES):
        assert build(STUDIES, name, **needed.get(name, {})).name.startswith(name.replace("_", "-"))


@pytest.mark.skipif(
    not REAL.is_file(), reason="needs the real 12-epoch table, named by RAYNAS_NAS_BENCH_201_12EP"
)
def test_the_real_12_epoch_table_of_nas_bench_201(tmp_path):
    source = pd.read_parquet(REAL)
    columns = {
        f"{dataset}/{split}_accuracy_pct": f"{dataset}_{split}_accuracy"
        for dataset in ("cifar10", "cifar100", "imagenet16_120")
        for split in ("valid", "test")
    }
    importer = build(IMPORTERS, "columns", architecture="arch_str", metrics=columns, schedule=12)
    importer.convert(REAL, tmp_path / "t.parquet")
    made = NA(str(tmp_path / "t.parquet"), repeats=200).run(quiet)
    frames = {section.name: section.frame for section in made.sections}
    space = get_space("nas_bench_201")
    place = [space.index(space.parse(text)) for text in source["arch_str"]]
    grid = np.empty(15_625)
    grid[place] = 100 - source["cifar10_valid_accuracy"]
    grid = grid.reshape((5,) * 6)
    # The mean of a neighborhood without indices: sums along each of the six edges count the centre six times.
    mean = (sum(grid.sum(axis=edge, keepdims=True) for edge in range(6)) - 5 * grid) / 25
    tau = frames["rank_correlation"].set_index(["criterion", "quantity", "n_repeats"])["of_all"]
    for dataset in ("cifar10", "cifar100", "imagenet16_120"):
        te = np.empty(15_625)
        te[place] = 100 - source[f"{dataset}_test_accuracy"]
        assert tau["base", dataset, 200] == pytest.approx(kendall_tau(grid.ravel(), te), abs=1e-4)
        assert tau["mean", dataset, 200] == pytest.approx(kendall_tau(mean.ravel(), te), abs=1e-4)
    # The truth is of the same short schedule as the signal, which is annealed: there is little to denoise,
    # and random search beats every neighborhood. Measured on this file.
    measured = {"base": (0.842, 0.859, 0.772), "mean": (0.789, 0.778, 0.734), "max": (0.468, 0.455, 0.468)}
    for criterion, taus in measured.items():
        found = [tau[criterion, dataset, 200] for dataset in ("cifar10", "cifar100", "imagenet16_120")]
        assert found == pytest.approx(taus, abs=5e-4)
    searches = frames["aggregators"]
    final = searches[(searches["quantity"] == "cifar10") & (searches["n_repeats"] == 200)]
    errors = dict(zip(final["search"], final["mean"], strict=True))
    assert min(errors, key=errors.__getitem__) == "RS"
    assert errors["RS"] == pytest.approx(11.40, abs=0.1)
    assert errors["NA-RS mean"] == pytest.approx(12.22, abs=0.2)
    assert errors["NA-RS max"] == pytest.approx(13.6, abs=0.5)
