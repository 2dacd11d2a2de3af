"""Drawings of architectures: nothing lies on anything else, and all that computes is there."""

from __future__ import annotations

import io
from itertools import combinations

import numpy as np
import pytest

from raynas.analysis.genotype_drawing import cells, draw, place
from raynas.analysis.layered_layout import Layered, depths, n_crossings
from raynas.spaces import get_space


def drawn(space, n=5):
    rng = np.random.default_rng(0)
    return [get_space(space).sample(rng) for _ in range(n)]


ARCHITECTURES = [a for space in ("nas_bench_201", "darts", "darts_s4") for a in drawn(space)]
EMPTY = get_space("nas_bench_201").parse("|none~0|+|none~0|none~1|+|none~0|none~1|none~2|")
CHAIN = get_space("darts").parse(
    "Genotype(normal=[('skip_connect', 0), ('skip_connect', 1), ('sep_conv_3x3', 1), ('sep_conv_3x3', 2), "
    "('sep_conv_3x3', 0), ('dil_conv_3x3', 3), ('avg_pool_3x3', 1), ('max_pool_3x3', 4)], "
    "reduce=[('skip_connect', 0), ('skip_connect', 1), ('sep_conv_3x3', 0), ('sep_conv_3x3', 1), "
    "('sep_conv_3x3', 0), ('dil_conv_3x3', 1), ('avg_pool_3x3', 0), ('max_pool_3x3', 1)])"
)


def parts(architecture):
    return [place(cell) for cell in cells(architecture)]


def on_the_curve(points):
    t = np.linspace(0, 1, 41)[:, None]
    a, b, c, d = np.array(points)
    return (1 - t) ** 3 * a + 3 * (1 - t) ** 2 * t * b + 3 * (1 - t) * t**2 * c + t**3 * d


def shares_a_point(one, other):
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


@pytest.mark.parametrize("architecture", [*ARCHITECTURES, EMPTY, CHAIN], ids=range(len(ARCHITECTURES) + 2))
def test_no_box_lies_on_another_and_no_line_on_a_box_that_is_not_its_own(architecture):
    for part in parts(architecture):
        for one, other in combinations(part.boxes.values(), 2):
            assert not shares_a_point(one, other)
        for link in part.links:
            curve = on_the_curve(part.curve(link))
            for vertex, (left, bottom, right, top) in part.boxes.items():
                if vertex not in link and vertex.sort != "line":
                    x, y = curve.T
                    assert not ((left < x) & (x < right) & (bottom < y) & (y < top)).any()
        width, height = part.size
        boxes = np.array(list(part.boxes.values()))
        assert boxes.min() >= -1e-9
        assert boxes[:, 2].max() <= width + 1e-9
        assert boxes[:, 3].max() <= height + 1e-9


@pytest.mark.parametrize("architecture", [*ARCHITECTURES, CHAIN], ids=range(len(ARCHITECTURES) + 1))
def test_lines_lead_from_source_to_operation_to_target_and_from_left_to_right(architecture):
    for part in parts(architecture):
        before = {}
        for a, b in part.links:
            assert part.boxes[a][2] <= part.boxes[b][0]
            before.setdefault(b, []).append(a)
        for number, (source, target, _) in enumerate(part.cell.edges):
            operation = next(vertex for vertex in part.boxes if vertex[:2] == ("operation", number))
            assert operation in before[next(v for v in part.boxes if v[:2] == ("node", target))]
            (at,) = before[operation]
            while at.sort == "line":
                (at,) = before[at]
            assert at[:2] == ("node", source)


def test_every_edge_but_none_is_drawn_and_the_nodes_of_a_darts_cell_are_gathered():
    (cell,) = cells(
        get_space("nas_bench_201").parse("|skip_connect~0|+|none~0|nor_conv_1x1~1|+|none~0|none~1|none~2|")
    )
    assert cell.edges == [(0, 1, "skip_connect"), (1, 2, "nor_conv_1x1")]
    assert (cell.inputs, cell.output, cell.gathered) == ([0], 3, ())
    normal, reduction = cells(CHAIN)
    assert [normal.title, reduction.title] == ["Normal cell", "Reduction cell"]
    assert len(normal.edges) == len(reduction.edges) == 8
    assert (normal.inputs, normal.output, normal.gathered) == ([0, 1], 6, [2, 3, 4, 5])


def test_the_first_input_stands_above_the_second():
    for architecture in [*drawn("darts"), CHAIN]:
        for part in parts(architecture):
            heights = {vertex.number: box[1] for vertex, box in part.boxes.items() if vertex.sort == "node"}
            assert heights[0] > heights[1]


def test_a_drawing_is_an_image_and_the_same_each_time():
    images = []
    for _ in range(2):
        buffer = io.BytesIO()
        draw(CHAIN).savefig(buffer, format="png", dpi=50)
        images.append(buffer.getvalue())
    assert images[0].startswith(b"\x89PNG")
    assert images[0] == images[1]


def test_crossings_are_counted_and_taken_away_where_they_can_be():
    layers, links = [["a", "b"], ["c", "d"], ["e"]], [("a", "d"), ("b", "c"), ("c", "e"), ("d", "e")]
    assert n_crossings(layers, links) == 1
    down = depths(Layered(layers, links, frozenset(), dict.fromkeys("abcde", 1.0), gap=0.5))
    assert (down["a"] - down["b"]) * (down["d"] - down["c"]) > 0
    assert abs(down["c"] - down["d"]) == pytest.approx(1.5)
    assert down["e"] == pytest.approx((down["c"] + down["d"]) / 2, abs=1e-3)
