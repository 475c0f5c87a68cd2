"""The file of a declared schema."""

from pathlib import Path

import pytest

from streamer.sandbox.org.definitions import read_schema

ROOT = Path(__file__).parents[5]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the file is."""
    return tmp_path / "schema.yaml"


def told(file: Path, text: str) -> list[str]:
    """Return the lines about the mistakes in a text, without the path."""
    file.write_text(text)
    with pytest.raises(ValueError, match=r"schema\.yaml") as caught:
        read_schema(file)
    return [line.removeprefix(f"{file}:") for line in str(caught.value).splitlines()]


def test_the_example_is_read() -> None:
    """It has objects, events and channels."""
    schema = read_schema(ROOT / "config" / "sandbox-schema.yaml")
    assert schema.objects["Invoice__c"].fields["Number__c"].external_id
    assert schema.events["Order_Placed__e"].fields["Order_No__c"].required
    assert schema.channels["Erp__chn"] == {"Account": ("ERP_Id__c",), "Invoice__c": ("Number__c",)}


def test_an_empty_file_declares_nothing(file: Path) -> None:
    """Not even comments are needed."""
    file.write_text("# nothing yet\n")
    assert read_schema(file).objects == {}


def test_every_mistake_has_its_line(file: Path) -> None:
    """In the order of the file; a place that is missing has the line above it."""
    text = (
        "objects:\n  Line__c:\n    fields:\n      X__c: txet\n      Y__c:\n        length: 3\ncolsed: true\n"
    )
    lines = told(file, text)
    assert [line.partition(": ")[0] for line in lines] == ["4", "5", "7"]
    assert lines[1].startswith("5: objects.Line__c.fields.Y__c: needs the key type")


def test_a_name_that_is_given_twice_is_a_mistake(file: Path) -> None:
    """YAML itself would take the last one."""
    text = "events:\n  Paid__e: {fields: {X__c: string}}\n  Paid__e: {fields: {Y__c: string}}\n"
    assert told(file, text) == ["3: events.Paid__e: is a key that appears twice: remove one of the two"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("objects: [", "1: this line is not valid YAML"),
        ("objects:\n  a: b: c", "2: this line is not valid YAML"),
        ("- Account", "1: the schema: must be a mapping"),
        ("objects: &x {Account: *x}", "1: an anchor contains itself."),
    ],
)
def test_a_file_that_cannot_be_read_is_named(file: Path, text: str, sentence: str) -> None:
    """With its line."""
    assert told(file, text)[0].startswith(sentence)


def test_a_file_that_is_not_text_is_named(file: Path) -> None:
    """Without its content."""
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"schema\.yaml is not a YAML file in UTF-8"):
        read_schema(file)
