"""Reading search spaces: by name, by path, and what is said about a wrong file."""

from __future__ import annotations

import pickle
import subprocess
import sys

import numpy as np
import pytest

from raynas.errors import ConfigError, InputError
from raynas.spaces import get_space, loading

WRONG = {
    "[1, 2]": ["space.yaml:1: a search space is a mapping with the keys kind, nodes, operations, edges"],
    "kind: nas_bench_201\nnodes: 4\nops: [a]\n": [
        "space.yaml:3: ops: unknown key; known: kind, nodes, operations, edges",
        "space.yaml:1: the key 'operations' is missing",
    ],
    "kind: nasbench\nnodes: 4\noperations: [a]\n": ["space.yaml:1: kind: unknown kind 'nasbench'"],
    "kind: darts\nnodes: four\noperations: [a]\n": [
        "space.yaml:2: nodes: 'four' must be a whole number from 1 to 16"
    ],
    "kind: nas_bench_201\nnodes: 1\noperations: [a]\n": [
        "space.yaml:2: nodes: 1 must be a whole number from 2 to 16"
    ],
    "kind: nas_bench_201\nnodes: true\noperations: []\n": [
        "space.yaml:3: operations: must be a list of 1 to 127 names",
        "space.yaml:2: nodes: True must be a whole number",
    ],
    "kind: darts\nnodes: 4\noperations:\n- a\n- a\n- b|c\n": [
        "space.yaml:5: operations.1: 'a' is given twice",
        "space.yaml:6: operations.2: 'b|c' must be a name of letters, digits and '_'",
    ],
    "kind: darts\nnodes: 4\noperations: [none]\n": [
        "space.yaml:3: operations: an architecture can choose no operation here; add one besides 'none'"
    ],
    "kind: nas_bench_201\nnodes: 3\noperations: [conv, skip]\n"
    "edges:\n  1<-0: [conv]\n  2<-0: [con, skip]\n  3<-1: [skip]\n": [
        "space.yaml:7: edges.3<-1: there is no such edge or cell",
        "space.yaml:6: edges.2<-0.0: unknown operation 'con'; known: conv, skip; did you mean 'conv'?",
        "space.yaml:4: edges: the edges 2<-1 are missing; list all edges, or leave out 'edges'",
    ],
    "kind: darts\nnodes: 1\noperations: [a, b]\n"
    "edges:\n  normal:\n    2<-0: [a, a]\n    2<-1: b\n  reduction: {}\n": [
        "space.yaml:8: edges.reduction: there is no such edge or cell",
        "space.yaml:6: edges.normal.2<-0.1: 'a' is given twice",
        "space.yaml:7: edges.normal.2<-1: 'b' must be a list of operations",
        "space.yaml:4: edges.reduce: the edges 2<-0, 2<-1 are missing",
    ],
    "kind: darts\nnodes: 1\noperations: [a]\nedges: [a]\n": [
        "space.yaml:4: edges: must be a mapping with the keys normal, reduce"
    ],
    "kind: darts\nnodes: 16\noperations: [a, b, c, d, e, f, g, h]\n": [
        "normal node 14 has 5,824 choices of two inputs and their operations, and may have 5,000"
    ],
    "kind: [\n": ["not valid YAML"],
}


@pytest.mark.parametrize("text", WRONG)
def test_all_that_is_wrong_with_a_file_is_said_with_its_line(tmp_path, text):
    path = tmp_path / "space.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as refused:
        get_space(str(path))
    for line in WRONG[text]:
        assert line in str(refused.value)


def test_an_unknown_name_is_answered_with_the_closest():
    with pytest.raises(InputError, match="did you mean 'nas_bench_201'"):
        get_space("nasbench_201")


def test_the_same_name_gives_the_same_object():
    assert get_space("darts") is get_space("darts")


def test_architectures_of_a_users_own_file_carry_its_path(small_cell):
    a = small_cell.sample(np.random.default_rng(0))
    assert a.space == small_cell.name
    assert a.space.endswith("small_cell.yaml")
    assert small_cell.parse(str(a)) == a


def test_a_space_sent_to_a_process_without_its_file_brings_its_content(small_cell, monkeypatch):
    sent = pickle.dumps((small_cell, small_cell.at(3)))
    monkeypatch.setattr(loading, "_loaded", {})
    monkeypatch.setattr(loading.assets, "find", lambda *_: pytest.fail("the file must not be needed"))
    space, a = pickle.loads(sent)
    assert space is not small_cell
    assert space.structure == small_cell.structure
    assert str(a) == space.format(a), "its architectures must find it by name from then on"


def test_a_sent_space_that_differs_from_the_one_known_here_is_kept_apart(small_cell, monkeypatch):
    sent, known_here = pickle.dumps(small_cell), get_space("nas_bench_201")
    monkeypatch.setattr(loading, "_loaded", {small_cell.name: known_here})
    assert pickle.loads(sent).structure == small_cell.structure
    assert get_space(small_cell.name) is known_here


def test_a_space_describes_itself_in_one_line():
    assert repr(get_space("nas_bench_201")) == "<SearchSpace nas_bench_201: 15,625 architectures, 6 edges>"


def test_spaces_need_neither_torch_nor_ray_nor_pandas():
    code = "import sys, raynas.spaces; print([m for m in ('torch', 'ray', 'pandas') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
