from __future__ import annotations

import pytest

from raynas.lookup import UnknownComponentError, available, build, find, name_of, source

SLOT = "raynas.flatness.aggregator"
SLOTS = [
    "raynas.flatness.aggregator",
    "raynas.search.searcher",
    "raynas.search.scheduler",
    "raynas.data.dataset",
    "raynas.workloads",
]


@pytest.mark.parametrize("slot", SLOTS)
def test_every_file_of_a_slot_holds_a_component_that_knows_its_name(slot):
    assert available(slot)
    for name in available(slot):
        kind = find(slot, name)
        assert source(slot, name).stem == name
        assert name_of(slot, object.__new__(kind)) == name


def test_a_misspelt_name_names_the_nearest_and_lists_all():
    with pytest.raises(
        UnknownComponentError, match=r"unknown aggregator 'maen'; did you mean 'mean'\? Available: .*variance"
    ):
        find(SLOT, "maen")


def test_a_class_of_the_users_own_is_reached_by_module_and_name():
    assert find(SLOT, "collections:OrderedDict").__name__ == "OrderedDict"
    assert name_of(SLOT, build(SLOT, "collections:OrderedDict")) == "collections:OrderedDict"


@pytest.mark.parametrize(
    "name",
    ["no_such_module:X", "collections:NoSuchClass", "os:path", ":", "collections:", "..:x", ".odd:X"],
)
def test_a_users_class_that_is_not_there_is_refused_in_words(name):
    with pytest.raises(UnknownComponentError):
        find(SLOT, name)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("def", "SyntaxError: "),
        ("raise RuntimeError('two\\nlines')", "RuntimeError: two lines;"),
        ("raise SystemExit(3)", "SystemExit: 3;"),
        ("assert False", "AssertionError;"),
    ],
)
def test_a_module_that_cannot_be_imported_is_refused_with_its_reason_in_one_line(
    body, reason, tmp_path, monkeypatch
):
    (tmp_path / "odd_component.py").write_text(body)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UnknownComponentError, match=f"^cannot reach 'odd_component:X': {reason}") as caught:
        find(SLOT, "odd_component:X")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("slot", "noun"), [("raynas.workloads", "workload"), ("raynas.search.searcher", "searcher")]
)
def test_a_slot_is_called_by_a_singular_noun(slot, noun):
    with pytest.raises(UnknownComponentError, match=f"^unknown {noun} 'a'"):
        find(slot, "a")
