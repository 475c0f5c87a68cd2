"""Errors of queries name their row and column."""

import pytest

from streamer.sandbox.org.refusals import Refused
from tests.unit.sandbox.org.world import OrgWorld

CUSTOM = (
    "If you are attempting to use a custom field, be sure to append the '__c' after the custom field name."
)
LOOK_UP = "Please reference your WSDL or the describe call for the appropriate names."


def refusal(world: OrgWorld, text: str) -> str:
    """Return the message of a query's refusal."""
    with pytest.raises(Refused) as caught:
        world.query(text)
    return caught.value.message


def test_a_query_that_ends_early_points_behind_its_end(world: OrgWorld) -> None:
    """The missing token is called the end of the file."""
    assert refusal(world, "SELECT Id FROM Account WHERE") == (
        "\nSELECT Id FROM Account WHERE\n                            ^\n"
        "ERROR at Row:1:Column:29\nunexpected token: '<EOF>'"
    )


@pytest.mark.parametrize(
    ("text", "place", "sentence"),
    [
        ("SELECT Id, FROM Account", "Row:1:Column:12", "unexpected token: 'FROM'"),
        ("SELECT Id\nFROM Account\nLIMIT many", "Row:3:Column:7", "unexpected token: 'many'"),
        ("SELECT Id FROM Account WHERE Name ! 'a'", "Row:1:Column:35", "unexpected token: '!'"),
        (
            "SELECT Nope FROM Account",
            "Row:1:Column:8",
            f"No such column 'Nope' on entity 'Account'. {CUSTOM} {LOOK_UP}",
        ),
    ],
)
def test_the_wrong_token_is_pointed_at(world: OrgWorld, text: str, place: str, sentence: str) -> None:
    """By row and column, counted from one."""
    _, line, caret, error, said = refusal(world, text).split("\n")
    assert (error, said) == (f"ERROR at {place}", sentence)
    assert line[len(caret) - 1] == text.split("\n")[int(place[4]) - 1][int(place.rpartition(":")[2]) - 1]


def test_an_unknown_type_is_pointed_at(world: OrgWorld) -> None:
    """Like an unknown field."""
    message = refusal(world, "SELECT Id FROM Nope")
    assert message.startswith(
        "\nSELECT Id FROM Nope\n               ^\nERROR at Row:1:Column:16\nsObject type 'Nope'"
    )


def test_a_long_row_is_cut(world: OrgWorld) -> None:
    """The caret stays under the place."""
    text = " ".join(("SELECT", *["Name,"] * 100, "Nope FROM Account"))
    _, line, caret, error, _ = refusal(world, text).split("\n")
    assert line[len(caret) - 1 :].startswith("Nope")
    assert (len(line) < 110, error) == (True, "ERROR at Row:1:Column:608")
