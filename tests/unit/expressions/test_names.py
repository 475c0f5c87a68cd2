"""Names that an expression reads from the event's document."""

import pytest

from streamer.expressions.checks import WHOLE, names_read, reads_any


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("data.fields.Account", {"data"}),
        ("account.Name == 'Acme' && data.fields.Won", {"account", "data"}),
        ("not_null(account, record).Name", {"account", "record"}),
        ("data.fields | account", {"data"}),
        ("data.changed_fields[?@ == 'Name']", {"data"}),
        ("sort_by(record.Lines, &account)", {"record"}),
        ("{a: account.Name, b: [type, !subject]}", {"account", "type", "subject"}),
        ("account.Tags[0:2].{name: data}", {"account"}),
        ("values(@)", {WHOLE}),
        ("*.Name", {WHOLE}),
        ("[account]", {"account"}),
        ('`{"account": 1}`', set()),
    ],
)
def test_names_at_the_top_are_told_from_those_within(expression: str, expected: set[str]) -> None:
    """Only they decide whether a look-up is needed."""
    assert names_read(expression) == expected


def test_whole_document_reads_every_name() -> None:
    """Where there is one to read."""
    assert reads_any("values(@)", ["account"])
    assert not reads_any("values(@)", [])
    assert not reads_any(None, ["account"])
    assert not reads_any("data.account", ["account"])
