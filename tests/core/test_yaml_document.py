from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raynas.errors import ConfigError, InputError
from raynas.yaml_document import dump, load, parse, parse_value


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
        ("1_000", 1000),
        ("-0", 0),
        ("0x1F", 31),
        ("0o17", 15),
        ("0b11", 3),
        ("010", "010"),
        ("1:30", "1:30"),
        ("1:30.5", "1:30.5"),
        ("0b", "0b"),
        ("1٣", "1٣"),
        ("=", "="),
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
    "text",
    ["a: [1", "a: *x", "a: !!python/object:os.system {}", "\ta: 1", "a: 1\n---\nb: 2", 'a: "\\UFFFFFFFF"'],
)
def test_what_is_no_safe_yaml_is_refused_with_its_place(text):
    with pytest.raises(ConfigError, match=r"^f\.yaml"):
        parse(text, source="f.yaml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nx: &x [*x]", r"f\.yaml:2: .*write the value out"),
        ("a: 1\nx: &x {y: *x}", r"f\.yaml:2: .*write the value out"),
        ("a: &a [1]\nb: *a", r"f\.yaml:1: .*write the value out"),
        ("a:\n  " + "[" * 3000 + "]" * 3000, r"f\.yaml:2: .*nested too deeply"),
        ("a: 1\nseed: " + "1" * 5000, r"f\.yaml:2: .*a number of 5000 digits"),
        ("a: 1\nb: !!int x", r"f\.yaml:2: .*tags .*write the value plainly"),
        ("a:\n  3: 1", r"f\.yaml:2: a: the key 3 is not a string"),
        ("a: 1\nnull: 1", r"f\.yaml:2: the key null is not a string"),
        ("a: 1\ntrue: 1", r"f\.yaml:2: the key true is not a string"),
        ("a: 1\n[x]: 1", r"f\.yaml:2: a key is not a string"),
    ],
)
def test_what_yaml_allows_and_an_experiment_does_not_need_is_refused_with_its_line(text, message):
    with pytest.raises(ConfigError, match=f"^{message}"):
        parse(text, source="f.yaml")


AMBIGUOUS = [
    "1e3",
    "1e-3",
    "12E5",
    "+1e5",
    ".5e3",
    "yes",
    "010",
    "1:30",
    "\x85",
    "a\nb\n",
    "\ud800",
    "",
    "<<",
    "2024-01-01",
]


@given(st.text(st.characters() | st.sampled_from("0123456789eE+-._:#'\"\n\r\t \x85&*!")))
def test_any_string_survives_being_written_out(text):
    for data in (text, {text: [text, {"a": text}]}):
        assert parse(dump(data), source="f.yaml").data == data


@pytest.mark.parametrize("text", AMBIGUOUS)
def test_a_string_that_looks_like_something_else_survives_being_written_out(text):
    assert parse(dump([text, text]), source="f.yaml").data == [text, text]


def test_what_yaml_cannot_hold_is_refused_on_writing():
    with pytest.raises(InputError, match="cannot represent"):
        dump({"a": object()})


def test_a_value_that_stands_twice_is_written_twice():
    value = [1]
    assert parse(dump({"a": value, "b": value}), source="f.yaml").data == {"a": [1], "b": [1]}


def test_a_file_that_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        load(tmp_path / "none.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"a: \xff\xfe")
    with pytest.raises(InputError, match="cannot be read"):
        load(tmp_path / "latin.yaml")
