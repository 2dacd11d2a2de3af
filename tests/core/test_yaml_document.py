from __future__ import annotations

import pytest

from raynas.errors import ConfigError, InputError
from raynas.yaml_document import load, parse, parse_value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("-1.5E+3", -1500.0),
        ("3", 3),
        ("3.", 3.0),
        (".5", 0.5),
        ("true", True),
        ("yes", "yes"),
        ("off", "off"),
        ("null", None),
        ("2024-01-01", "2024-01-01"),
        ("a2m", "a2m"),
        ("1e", "1e"),
        ("'1e-3'", "1e-3"),
        ("[1, 2e0]", [1, 2.0]),
        ("{a: b}", {"a": "b"}),
        ("", None),
    ],
)
def test_a_scalar_reads_as_a_researcher_means_it(text, value):
    assert parse_value(text) == value
    assert type(parse_value(text)) is type(value)


def test_every_value_knows_its_line():
    document = parse("a: 1\nb:\n  c: [x,\n      y]\n", source="f.yaml")
    assert document.line(("a",)) == 1
    assert document.line(("b", "c")) == 3
    assert document.line(("b", "c", 1)) == 4
    assert document.line(("b", "not", "there")) == 2
    assert document.place(("b",)) == "f.yaml:2"


def test_all_duplicate_keys_are_reported_at_once():
    with pytest.raises(ConfigError) as caught:
        parse("a: 1\nb: {c: 1, c: 2}\na: 3\n", source="f.yaml")
    assert [(problem.place, problem.path) for problem in caught.value.problems] == [
        ("f.yaml:2", "b.c"),
        ("f.yaml:3", "a"),
    ]


@pytest.mark.parametrize(
    "text", ["a: [1", "a: *x", "a: !!python/object:os.system {}", "\ta: 1", "a: 1\n---\nb: 2"]
)
def test_what_is_no_safe_yaml_is_refused_with_its_place(text):
    with pytest.raises(ConfigError, match=r"^f\.yaml"):
        parse(text, source="f.yaml")


def test_a_file_that_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        load(tmp_path / "none.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"a: \xff\xfe")
    with pytest.raises(InputError, match="cannot be read"):
        load(tmp_path / "latin.yaml")
