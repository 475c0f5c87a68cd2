"""Slack's markup for the values of events."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from subscribers.slack.markup import escaped, safe_members
from tests.deliveries import event
from tests.unit.dispatch.world import route

EVIL = "<!channel> & <https://evil.test|Acme>"
SAFE = "&lt;!channel&gt; &amp; &lt;https://evil.test|Acme&gt;"
RECORD = event(data={"fields": {"Name": EVIL, "Long": "&" * 9_000}})


def members(body: dict[str, Any]) -> Any:
    """Return the members of the message that the mapping `body` makes of the record, as JSON has them."""
    return orjson.loads(orjson.dumps(safe_members(route(body=body).delivery(RECORD, attempt=1).body)))


def text(kind: str, expression: str = "data.fields.Name") -> dict[str, str]:
    """Return the mapping of a text object."""
    return {"type": f"'{kind}'", "text": expression}


def shown(said: str) -> dict[str, Any]:
    """Return the text object that Slack gets."""
    return {"type": "mrkdwn", "text": said, "verbatim": True}


def test_records_content_is_escaped_wherever_blocks_are_mrkdwn() -> None:
    """In sections, their fields, contexts and what stands deeper."""
    blocks = [
        {"type": "'section'", "text": text("mrkdwn"), "fields": [text("mrkdwn")]},
        {"type": "'context'", "elements": [text("mrkdwn"), {"type": "'image'", "alt_text": "'<logo>'"}]},
        {"type": "'actions'", "elements": [{"confirm": {"text": text("mrkdwn")}}]},
    ]
    section, context, actions = members({"blocks": blocks})["blocks"]

    assert section == {"type": "section", "text": shown(SAFE), "fields": [shown(SAFE)]}
    assert context["elements"] == [shown(SAFE), {"type": "image", "alt_text": "<logo>"}]
    assert actions["elements"] == [{"confirm": {"text": shown(SAFE)}}]


def test_records_content_is_escaped_in_the_text_and_in_attachments() -> None:
    """An attachment's blocks are as those of the message; its URLs and plain texts stay."""
    attachment = {
        "text": "data.fields.Name",
        "pretext": "data.fields.Name",
        "title_link": "'https://acme.test/?a=1&b=2'",
        "fields": [{"title": "'Name'", "value": "data.fields.Name"}],
        "blocks": [{"type": "'section'", "text": text("mrkdwn")}],
    }

    assert members({"text": "data.fields.Name", "attachments": [attachment]}) == {
        "text": SAFE,
        "attachments": [
            {
                "text": SAFE,
                "pretext": SAFE,
                "title_link": "https://acme.test/?a=1&b=2",
                "fields": [{"title": "Name", "value": SAFE}],
                "blocks": [{"type": "section", "text": shown(SAFE)}],
            }
        ],
    }


def test_plain_text_is_sent_as_it_is() -> None:
    """Slack shows it so."""
    header = {"type": "'header'", "text": text("plain_text")}

    assert members({"blocks": [header]})["blocks"] == [
        {"type": "header", "text": {"type": "plain_text", "text": EVIL}}
    ]


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("'<!here> a new order'", "<!here> a new order"),
        ("join('', ['<!here> ', data.fields.Name])", f"&lt;!here&gt; {SAFE}"),
        ("data.fields.Missing || '<!here>'", "&lt;!here&gt;"),
        ("to_string(data.fields.{name: Name})", escaped(f'{{"name":"{EVIL}"}}', 999)),
    ],
)
def test_text_that_an_operator_wrote_is_markup(expression: str, said: str) -> None:
    """As long as nothing of a record is in it, however an expression came to it."""
    section = {"type": "'section'", "text": text("mrkdwn", expression)}

    assert members({"text": expression, "blocks": [section]}) == {
        "text": said,
        "blocks": [{"type": "section", "text": shown(said)}],
    }


def test_mapping_can_let_slack_make_links() -> None:
    """`verbatim: false` is the operator's choice."""
    section = {"type": "'section'", "text": text("mrkdwn") | {"verbatim": False}}

    assert members({"blocks": [section]})["blocks"][0]["text"] == shown(SAFE) | {"verbatim": False}


def test_long_texts_keep_to_slacks_limits() -> None:
    """Each is cut at its own, and no escape is cut in two."""
    long = text("mrkdwn", "data.fields.Long")
    [section] = members({"blocks": [{"type": "'section'", "text": long, "fields": [long]}]})["blocks"]

    assert section["text"]["text"] == "&amp;" * 599 + "…"
    assert section["fields"][0]["text"] == "&amp;" * 399 + "…"


@pytest.mark.parametrize(
    "odd", [{"blocks": "x"}, {"blocks": [1, None]}, {"attachments": [1, {"fields": [2]}]}]
)
def test_members_of_other_shapes_are_left_to_slack(odd: dict[str, Any]) -> None:
    """It refuses them with an explanation."""
    assert safe_members(odd) == odd


@pytest.mark.parametrize("limit", [5, 6, 7, 8])
def test_cut_never_leaves_half_an_escape(limit: int) -> None:
    """An escape that does not fit goes away as a whole."""
    assert escaped("ab&&&&", limit) in {"ab…", "ab&amp;…"}


@given(st.text(alphabet="ab&<>é", max_size=60), st.integers(1, 40))
def test_escaped_text_fits_and_holds_no_control_character(text: str, limit: int) -> None:
    """Whatever the text, the result fits, and mentions and links are impossible."""
    safe = escaped(text, limit)

    assert len(safe) <= limit
    assert not set("<>") & set(safe)
    assert "&" not in safe.replace("&amp;", "").replace("&lt;", "").replace("&gt;", "")
