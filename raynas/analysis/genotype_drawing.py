"""Drawings of architectures: their cells as graphs, nodes as circles and operations as labelled boxes.

What a node holds leaves it as one line, which branches to the operations that read it. Edges of ``none`` are
left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import groupby
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from raynas.analysis.figures import STYLES
from raynas.analysis.layered_layout import Layered, depths
from raynas.spaces import ABSENT, Architecture, get_space

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Lengths are inches, texts are points.
_RADIUS, _BOX_HEIGHT, _PADDING, _TEXT_PT = 0.2, 0.28, 0.1, 9.5
_GAP, _LAYER_GAP, _SLANT, _ARROW = 0.15, 0.34, 0.2, 0.09
_MARGIN, _TITLE = 0.2, 0.3
_LINE, _INK, _FRONT = "#777777", "#333333", 1000

_FAMILIES = {"skip": 7, "pool": 2, "dil_conv": 3, "conv": 0, "noise": 5}
"""Place in ``STYLES`` by a part of an operation's name."""


class Vertex(NamedTuple):
    """Something with a place in a drawing.

    Attributes:
        sort: ``line`` is where a line passes a layer.
        number: Of the node, of the operation's edge, or of the node whose value the line carries.
        layer: Of a line.
    """

    sort: Literal["node", "operation", "line"]
    number: int
    layer: int = 0


Link: TypeAlias = tuple[Vertex, Vertex]
Box: TypeAlias = tuple[float, float, float, float]


@dataclass(frozen=True)
class Cell:
    """One cell to be drawn.

    Attributes:
        title: Above it; may be empty.
        nodes: Label of each node.
        inputs: Nodes that are given.
        edges: (source, target, operation).
        output: The node that comes after all others; None where there is none.
        gathered: Nodes that go into the output as they are.
    """

    title: str
    nodes: Mapping[int, str]
    inputs: Sequence[int]
    edges: Sequence[tuple[int, int, str]]
    output: int | None = None
    gathered: Sequence[int] = ()


@dataclass(frozen=True)
class Placed:
    """A cell with the place of all that is drawn.

    Attributes:
        cell: The cell.
        boxes: Left, bottom, right and top of every vertex, in inches; those of a layer are of one width.
        links: Vertices that a line joins.
    """

    cell: Cell
    boxes: Mapping[Vertex, Box]
    links: Sequence[Link]

    @property
    def size(self) -> tuple[float, float]:
        """Width and height, in inches."""
        return max(box[2] for box in self.boxes.values()), max(box[3] for box in self.boxes.values())

    def curve(self, link: Link) -> list[tuple[float, float]]:
        """The four control points of a link's line, from the right of one vertex to the left of the next."""
        (_, below, start, above), (end, under, _, over) = self.boxes[link[0]], self.boxes[link[1]]
        y, to, middle = (below + above) / 2, (under + over) / 2, (start + end) / 2
        return [(start, y), (middle, y), (middle, to), (end, to)]


def draw(architecture: Architecture) -> Figure:
    """A figure of an architecture's cells, one above the other."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    parts = [place(cell) for cell in cells(architecture)]
    heads = [_TITLE if part.cell.title else 0.0 for part in parts]
    width = 2 * _MARGIN + max(part.size[0] for part in parts)
    height = _MARGIN + sum(head + part.size[1] + _MARGIN for head, part in zip(heads, parts, strict=True))
    figure = Figure(figsize=(width, height), facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(0, height))
    axes.set_axis_off()
    top = height - _MARGIN
    for head, part in zip(heads, parts, strict=True):
        axes.text(_MARGIN, top, part.cell.title, fontsize=11, weight="bold", va="top", color=_INK)
        bottom = top - head - part.size[1]
        moved = {
            vertex: (left + _MARGIN, low + bottom, right + _MARGIN, high + bottom)
            for vertex, (left, low, right, high) in part.boxes.items()
        }
        _draw(axes, replace(part, boxes=moved))
        top = bottom - _MARGIN
    return figure


def cells(architecture: Architecture) -> list[Cell]:
    """The cells of an architecture, as they are to be drawn."""
    space = get_space(architecture.space)
    chosen = zip(space.edges, space.architecture(architecture.ops).ops, strict=True)
    return [
        _cell(
            space.kind,
            name,
            [
                (edge.source, edge.target, "none" if op == ABSENT else space.operations[op])
                for edge, op in group
            ],
        )
        for name, group in groupby(chosen, key=lambda pair: pair[0].cell)
    ]


def _cell(kind: str, name: str, pairs: Sequence[tuple[int, int, str]]) -> Cell:
    targets = sorted({target for _, target, _ in pairs})
    inputs = sorted({source for source, _, _ in pairs} - set(targets))
    nodes = {number: str(number) for number in (*inputs, *targets)}
    edges = [pair for pair in pairs if pair[2] != "none"]
    title = {"normal": "Normal cell", "reduce": "Reduction cell"}.get(name, name)
    if kind == "darts":
        output = targets[-1] + 1
        nodes |= {0: "$c_{k-2}$", 1: "$c_{k-1}$", output: "$c_k$"}
        return Cell(title, nodes, inputs, edges, output, targets)
    if kind == "nas_bench_201":
        nodes |= {0: "in", targets[-1]: "out"}
        return Cell(title, nodes, inputs, edges, targets[-1])
    return Cell(title, nodes, inputs, edges)


def place(cell: Cell) -> Placed:
    """Where everything goes: no box or circle touches another, nor a line that is not its own."""
    layer_of, links = _layered(cell)
    numbers = sorted(set(layer_of.values()))
    layers = [[vertex for vertex in layer_of if layer_of[vertex] == number] for number in numbers]
    tall = {vertex: _HEIGHTS[vertex.sort] for vertex in layer_of}
    level = {(a, b) for a, b in links if a.sort == b.sort == "line"}
    depth = depths(Layered(layers, links, level, tall, _GAP))
    inputs = [depth[Vertex("node", node)] for node in cell.inputs]
    if inputs != sorted(inputs):  # the first is to be at the top
        depth = {vertex: -down for vertex, down in depth.items()}
    lowest = max(depth[vertex] + tall[vertex] / 2 for vertex in depth)
    boxes: dict[Vertex, Box] = {}
    left = 0.0
    for number, layer in enumerate(layers):
        if number:
            climbs = [abs(depth[a] - depth[b]) for a, b in links if b in layer]
            left += _LAYER_GAP + _SLANT * max(climbs, default=0.0)
        width = max(_width(cell, vertex) for vertex in layer)
        for vertex in layer:
            y = lowest - depth[vertex]
            boxes[vertex] = (left, y - tall[vertex] / 2, left + width, y + tall[vertex] / 2)
        left += width
    return Placed(cell, boxes, links)


_HEIGHTS = {"node": 2 * _RADIUS, "operation": _BOX_HEIGHT, "line": 0.0}


def _width(cell: Cell, vertex: Vertex) -> float:
    if vertex.sort != "operation":
        return _HEIGHTS[vertex.sort]
    return _text_width(cell.edges[vertex.number][2]) + 2 * _PADDING


@cache
def _text_width(text: str) -> float:
    from matplotlib.textpath import TextPath

    return float(TextPath((0, 0), text, size=_TEXT_PT).get_extents().width) / 72


def _layered(cell: Cell) -> tuple[dict[Vertex, int], list[Link]]:
    """The layer of every vertex, and the links, each to the next layer.

    A node comes two layers after the last that it hangs on, its operations one before it.
    """
    layer = {node: 0 if node in cell.inputs else 2 for node in cell.nodes}
    for source, target, _ in sorted(cell.edges, key=lambda edge: edge[1]):
        layer[target] = max(layer[target], layer[source] + 2)
    if cell.output is not None:
        last = max(number for node, number in layer.items() if node != cell.output)
        layer[cell.output] = last + 1 if cell.gathered else max(layer[cell.output], last + 2)
    layer_of = {Vertex("node", node): number for node, number in layer.items()}
    links: list[Link] = []
    readers: dict[int, list[Vertex]] = {}
    for number, (source, target, _) in enumerate(cell.edges):
        operation = Vertex("operation", number)
        layer_of[operation] = layer[target] - 1
        links.append((operation, Vertex("node", target)))
        readers.setdefault(source, []).append(operation)
    for node in cell.gathered:
        assert cell.output is not None
        readers.setdefault(node, []).append(Vertex("node", cell.output))
    for node, reading in readers.items():
        at = Vertex("node", node)
        for number in range(layer[node] + 1, 1 + max(layer_of[reader] for reader in reading)):
            links += [(at, reader) for reader in reading if layer_of[reader] == number]
            if any(layer_of[reader] > number for reader in reading):
                line = Vertex("line", node, number)
                layer_of[line] = number
                links.append((at, line))
                at = line
    return layer_of, links


def _draw(axes: Axes, part: Placed) -> None:
    from matplotlib.patches import Circle, FancyBboxPatch

    for number, (_, group) in enumerate(groupby(sorted(part.links, key=_strand), key=_strand)):
        _draw_lines(axes, part, list(group), order=2 * number)
    text: dict[str, Any] = {"fontsize": _TEXT_PT, "ha": "center", "zorder": _FRONT + 1}
    entered = {b for _, b in part.links}
    for vertex, (left, bottom, right, top) in part.boxes.items():
        x, y = (left + right) / 2, (bottom + top) / 2
        if vertex.sort == "node":
            outer = vertex.number in (*part.cell.inputs, part.cell.output)
            face, ink = ("white", _INK) if outer else (_INK, "white")
            circle = Circle((x, y), _RADIUS, facecolor=face, edgecolor=_INK, linewidth=1.4, zorder=_FRONT)
            axes.add_patch(circle)
            axes.text(x, y - 0.01, part.cell.nodes[vertex.number], color=ink, va="center", **text)
            if vertex in entered:
                head = [(left, y), (left - _ARROW, y + _ARROW / 2), (left - _ARROW, y - _ARROW / 2)]
                axes.fill(*zip(*head, strict=True), color=_LINE, linewidth=0, zorder=_FRONT)
        elif vertex.sort == "operation":
            operation = part.cell.edges[vertex.number][2]
            colour, shape = _colour(operation), "round,pad=0,rounding_size=0.07"
            box = FancyBboxPatch((left, bottom), right - left, top - bottom, boxstyle=shape, zorder=_FRONT)
            box.set(facecolor=_tint(colour), edgecolor=colour, linewidth=1.0)
            axes.add_patch(box)
            axes.text(x, y, operation, color="black", va="center_baseline", **text)


def _strand(link: Link) -> tuple[bool, int]:
    """What a link is drawn with: all that enter its node, or all that leave its node."""
    source, target = link
    return (True, target.number) if target.sort == "node" else (False, source.number)


def _draw_lines(axes: Axes, part: Placed, links: Sequence[Link], *, order: int) -> None:
    """Lines that meet; their white rims part them from those that they cross."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    points: list[tuple[float, float]] = []
    codes: list[Any] = []
    for link in links:
        points += (curve := part.curve(link))
        codes += [Path.MOVETO, *[Path.CURVE4] * 3]
        if link[1].sort == "line":
            points.append((part.boxes[link[1]][2], curve[-1][1]))
            codes.append(Path.LINETO)
    for number, (colour, width) in enumerate((("white", 4.0), (_LINE, 1.3))):
        line = PathPatch(Path(points, codes), facecolor="none", edgecolor=colour, linewidth=width)
        line.set(capstyle="butt", zorder=order + number)
        axes.add_patch(line)


def _colour(operation: str) -> str:
    styles = (STYLES[number] for part, number in _FAMILIES.items() if part in operation)
    return next(styles, STYLES[4]).colour


def _tint(colour: str) -> tuple[float, ...]:
    from matplotlib.colors import to_rgb

    return tuple(0.82 + 0.18 * part for part in to_rgb(colour))
