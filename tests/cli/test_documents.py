"""Directory documents in YAML."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringbridge.cli.documents import DocumentError, YamlDocument, yaml_text

TEXT = """\
# two users
domains:
  - domain: demo
    users:
      - user: 0045
        auto: no
        empty:
      - {user: "x", on: true}
"""


def test_scalars_stay_as_they_are_written() -> None:
    assert YamlDocument("f", TEXT).value == {
        "domains": [
            {"domain": "demo", "users": [{"user": "0045", "auto": "no"}, {"user": "x", "on": "yes"}]},
        ]
    }


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("domains", 2),
        ("domains[0].domain", 3),
        ("domains[0].users[0].user", 5),
        ("domains[0].users[0].missing", 5),
        ("domains[0].users[1].user", 8),
        ("domains[7].users", 2),
        ("", 2),
    ],
)
def test_a_fault_has_its_line_or_the_nearest(path: str, line: int) -> None:
    assert YamlDocument("f", TEXT).line_of(path) == line


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- a\n- b\n", "must be a mapping"),
        ("a: 1\na: 2\n", "f:2: a is there twice"),
        ("a: [\n", "f:"),
        ("? [a]\n: b\n", "f:1: a key must be a word"),
        ("a: &x\n  b: *x\n", "nested more than 20 deep"),
    ],
)
def test_what_is_no_document_is_refused(text: str, said: str) -> None:
    with pytest.raises(DocumentError, match=said):
        YamlDocument("f", text)


TEXTS = st.text(st.characters(exclude_categories=("C", "Zl", "Zp")), max_size=20)


@given(st.dictionaries(TEXTS.filter(bool), TEXTS | st.integers(0, 10**9)))
def test_what_is_written_is_read_as_the_same_texts(values: dict[str, object]) -> None:
    document = {"domains": [{"domain": "demo", "users": [values]}]}
    expected = {name: str(value) for name, value in values.items()}
    assert YamlDocument("f", yaml_text(document)).value == {"domains": [{"domain": "demo", "users": [expected]}]}


@pytest.mark.parametrize(
    "text", ["yes", "no", "true", "null", "~", "", "0045", "1.5", "[*]", "*", "<Null>", "a: b", "# x"]
)
def test_texts_that_yaml_would_read_otherwise_stay_texts(text: str) -> None:
    assert YamlDocument("f", yaml_text({"a": text})).value == {"a": text}
