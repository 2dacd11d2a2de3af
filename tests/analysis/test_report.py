"""Reports: their files, what they may replace, and their Markdown."""

from __future__ import annotations

import pandas as pd
import pytest

from raynas.analysis import figures, markdown
from raynas.analysis.report import INDEX, Report, Section, check_free, write
from raynas.errors import InputError

FRAME = pd.DataFrame(
    [("a|b", epoch, signal, 2.0 * epoch, 0.5) for epoch in (1, 2) for signal in ("x", "y")],
    columns=["row", "epoch", "signal", "mean", "std"],
)


def report(*names, figure=None):
    sections = [
        Section(name, name.title(), "Says what.", FRAME, [("**All.**", FRAME)], figure) for name in names
    ]
    return Report("A report", "About.", sections)


@pytest.fixture(scope="module")
def figure():
    axis = figures.Axis("epoch", "row", "quantity", "signal", "epoch", "error (%)")
    frame = pd.concat([FRAME.assign(quantity=name) for name in ("q", "r")])
    return figures.panels(frame, axis, "Title", styles={})


def test_a_figure_has_a_labelled_panel_for_each_value_and_a_line_for_each_series(figure):
    drawn = [panel.get_title() for panel in figure.axes if panel.get_lines()]
    assert drawn == [f"{name}\nsignal: {signal}" for signal in "xy" for name in "qr"]
    for panel in figure.axes[2:]:
        assert panel.get_xlabel() == "epoch"
    (line,) = [line for line in figure.axes[0].get_lines() if line.get_label() == "a|b"]
    assert line.get_ydata().tolist() == [2.0, 4.0]


def test_each_experiment_is_a_frame_a_text_and_a_figure(tmp_path, figure):
    files = write(report("one", "two", figure=figure), tmp_path / "new" / "out")
    assert sorted(path.name for path in files) == sorted(
        [INDEX, *(f"{name}.{kind}" for name in ("one", "two") for kind in ("md", "parquet", "png"))]
    )
    out = files[0].parent
    pd.testing.assert_frame_equal(pd.read_parquet(out / "one.parquet"), FRAME)
    assert (out / "one.png").read_bytes().startswith(b"\x89PNG")
    assert "| a\\|b | 1 | x | 2.0 | 0.5 |" in (out / "one.md").read_text()
    assert "[One](one.md)" in (out / INDEX).read_text()


def test_a_report_replaces_an_earlier_one_and_nothing_else(tmp_path):
    write(report("one", "two"), tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    write(report("two"), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        INDEX,
        "notes.txt",
        "two.md",
        "two.parquet",
    ]


def test_a_directory_with_other_files_is_refused_and_left_as_it_is(tmp_path):
    (tmp_path / "one.md").write_text("mine")
    for attempt in (check_free, lambda out: write(report("one"), out)):
        with pytest.raises(InputError, match="holds other files and no report"):
            attempt(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["one.md"]


def test_a_file_put_beside_an_earlier_report_is_not_replaced(tmp_path):
    write(report("one"), tmp_path)
    (tmp_path / "two.md").write_text("mine")
    with pytest.raises(InputError, match=r"two\.md: is not of an earlier report"):
        write(report("one", "two"), tmp_path)
    assert (tmp_path / "two.md").read_text() == "mine"


def test_a_report_never_takes_a_file_outside_its_directory_for_its_own(tmp_path):
    (tmp_path / "mine.md").write_text("mine")
    out = tmp_path / "out"
    write(report("one"), out)
    index = out / INDEX
    index.write_text(index.read_text().replace("one.md one", "../mine.md one.md one"))
    write(report("one"), out)
    assert (tmp_path / "mine.md").read_text() == "mine"


def test_a_file_in_place_of_the_directory_is_refused(tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(InputError, match="is a file"):
        write(report("one"), tmp_path / "out")


def test_numbers_have_their_spread_where_there_is_one():
    assert markdown.number(6.385, 0.706) == "6.38 ± 0.71"
    assert markdown.number(0.5939, float("nan"), digits=3) == "0.594"
    assert markdown.number(float("nan")) == ""


def test_a_tidy_frame_is_spread_out_in_order_of_appearance():
    frame = pd.DataFrame({"k": ["b", "a", "b"], "q": ["y", "x", "x"]})
    wide = markdown.spread_out(frame, ["k"], "q", ["1", "2", "3"])
    assert wide.to_numpy().tolist() == [["b", "1", "3"], ["a", "", "2"]]
    assert list(wide.columns) == ["k", "y", "x"]
