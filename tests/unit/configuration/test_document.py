"""YAML with variables, files and lines."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamer.configuration import load_document
from streamer.errors import ConfigurationError
from tests.unit.configuration.conftest import Write


def error_of(path: Path, environ: dict[str, str] | None = None) -> str:
    """Return the sentences about what can't be read in `path`."""
    with pytest.raises(ConfigurationError) as caught:
        raise ConfigurationError("\n".join(load_document([path], environ or {}).mistakes.values()))
    return str(caught.value)


def test_on_is_a_key_and_no_is_a_country(write: Write) -> None:
    """YAML 1.1 would make booleans of both."""
    document = load_document([write("on: [no, yes, off, true, False]\nsince: 2025-01-01")], {})

    assert document.data == {"on": ["no", "yes", "off", True, False], "since": "2025-01-01"}


def test_document_names_its_files_in_their_order(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """By absolute paths, which are valid in each folder. Files inside them are not sources."""
    first, second = write("a: 1"), write("b: {file: streamer.yaml}")
    monkeypatch.chdir(first.parent)

    assert load_document([Path(second.name), first], {}).sources == (second, first)


def test_variables_come_from_the_environment(write: Write) -> None:
    """Anywhere in a text, with defaults."""
    path = write('a: ${A}\nb: "x${A}y${B:-z}"\nc: ${B:-}\ntext: "{{ amount }} ${{ x }} $A"')

    assert load_document([path], {"A": "1"}).data == {
        "a": "1",
        "b": "x1yz",
        "c": "",
        "text": "{{ amount }} ${{ x }} $A",
    }


def test_missing_variable_is_named(write: Write) -> None:
    """With its place, and what to do."""
    path = write("org:\n  auth:\n    key: ${NOWHERE}")

    assert error_of(path) == (
        f"{path}:3: org.auth.key: the environment has no variable NOWHERE; "
        "set it, or write ${NOWHERE:-default}"
    )


def test_file_stands_for_its_content(write: Write, tmp_path: Path) -> None:
    """Its path is relative to the configuration; the last line break does not belong to a secret."""
    (tmp_path / "secret").write_text("line one\nline two\n")
    document = load_document([write("key: {file: secret}")], {})

    assert document.data == {"key": "line one\nline two"}
    assert document.is_secret(["key"])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "No such file or directory"),
        (b"\xff\xfe", "is not UTF-8 text"),
        (b"x" * 1_100_000, "is larger than the limit for a secret"),
    ],
)
def test_file_that_cannot_be_taken_is_named(
    write: Write, tmp_path: Path, content: bytes | None, reason: str
) -> None:
    """With the key that asks for it."""
    if content is not None:
        (tmp_path / "secret").write_bytes(content)
    path = write("org:\n  key: {file: secret}")

    assert error_of(path) == f"{path}:2: org.key: {tmp_path / 'secret'}: {reason}"


def test_files_are_laid_over_each_other(write: Write) -> None:
    """Mappings merge key by key, anything else replaces, and mistakes point into the winning file."""
    base = write("a: {x: 1, y: [1, 2]}\nb: 1")
    over = write("# comment\na: {y: [3]}\nc: 2")
    document = load_document([base, over], {})

    assert document.data == {"a": {"x": 1, "y": [3]}, "b": 1, "c": 2}
    assert document.place(["a", "y"]) == f"{over}:2"
    assert document.place(["a", "x", "deeper"]) == f"{base}:1"


def test_merge_keys_may_be_overridden(write: Write) -> None:
    """A mapping's own keys win over those that `<<` brings, however often it is used."""
    path = write("a: &a {x: 1, y: 2}\nb: &b {<<: *a, x: 3}\nc: *b\nd: {<<: *b, y: 4}")

    document = load_document([path], {})
    assert document.data["b"] == document.data["c"] == {"x": 3, "y": 2}
    assert document.data["d"] == {"x": 3, "y": 4}


@pytest.mark.parametrize(
    ("text", "line", "sentence"),
    [
        ("", None, "is empty; it needs at least org and channels"),
        ("# nothing\n", None, "is empty; it needs at least org and channels"),
        ("- a\n", None, "must be a mapping with org, channels, log and subscribers"),
        ("just a text", None, "must be a mapping with org, channels, log and subscribers"),
        ("a: 1\nb: 2\na: 3", 3, "a: is set twice"),
        ("a: 1\n[b]: 2", 2, "a key must be a text"),
        ("a: 1\nb: [1,\n", 3, "is not YAML: expected"),
        ("a: 1\nb: x: y", 2, "is not YAML: mapping values are not allowed here"),
        ("a: {b: ${C}}", 1, 'between { and } a variable needs quotes: "${NAME}"'),
        ("a: x\nb: 'it\nc: 1\nd: 2\n", 2, "is not YAML: a quote begins here and does not end in this line"),
        ('a: x\nb: "it\nc: 1\nd: "two"\ne: 3\n', 2, "a quote begins here and does not end in this line"),
        ("a: 'x\n  y'\nb: {c: ${D}}", 3, "a variable needs quotes"),
        ("a: *hunter2", 1, "is not YAML: a text that begins with * needs quotes"),
        ("a: !hunter2 x", 1, "is not YAML: a text that begins with ! needs quotes"),
        ("a: 1\nb: {<<: 5}", 2, "<< needs a mapping, or a list of mappings"),
        ("a: &b [*b]", None, "is nested too deeply, or an anchor contains itself"),
        ("a: \x00", None, "is not YAML: it contains a control character"),
    ],
)
def test_mistake_is_named_with_its_line(write: Write, text: str, line: int | None, sentence: str) -> None:
    """And never with the text around it, which may be a password."""
    path = write(text)
    error = error_of(path)

    assert error.startswith(f"{path}:{line}: " if line else f"{path}: ")
    assert sentence in error
    assert "hunter2" not in error


def test_file_that_is_not_utf8_or_not_there_is_named(tmp_path: Path) -> None:
    """In one sentence."""
    path = tmp_path / "streamer.yaml"
    assert error_of(path) == f"{path}: can't be read: No such file or directory"
    assert error_of(tmp_path) == f"{tmp_path}: can't be read: Is a directory"
    path.write_bytes(b"a: \xff")

    assert error_of(path) == f"{path}: is not UTF-8 text"


def test_byte_order_mark_is_no_part_of_a_key(tmp_path: Path) -> None:
    """Some editors write one."""
    path = tmp_path / "streamer.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1")

    assert load_document([path], {}).data == {"a": 1}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(alphabet="abc:{}[]&*!|>%@`'\"#-?,\n \t<=~0.", max_size=60))
def test_any_text_is_read_or_refused_in_a_sentence(tmp_path: Path, text: str) -> None:
    """A file that is not YAML never ends in a traceback."""
    path = tmp_path / "any.yaml"
    path.write_text(text)
    sentence = str(path)
    try:
        load_document([path], {})
    except ConfigurationError as error:
        sentence = str(error)

    assert sentence.startswith(str(path))
