"""An event as a Slack message."""

from subscribers.slack.message import message
from tests.deliveries import ORDER, delivery, event


def test_message_says_the_text_and_links_the_record() -> None:
    """Title, text and record stand in blocks, and the text in the notification."""
    said = message(delivery(text="Won & done"), blocks=True, record_url="https://acme.test/{id}")

    assert said == {
        "text": "Won &amp; done",
        "blocks": [
            {"type": "header", "text": {"type": "plain_text", "text": "Order created"}},
            {"type": "section", "text": {"type": "mrkdwn", "text": "Won &amp; done", "verbatim": True}},
            {
                "type": "context",
                "elements": [
                    {
                        "type": "mrkdwn",
                        "text": f"<https://acme.test/{ORDER}|{ORDER}> · 2025-01-01T00:00:00.000Z",
                        "verbatim": True,
                    }
                ],
            },
        ],
    }


def test_message_without_blocks_is_text_alone() -> None:
    """`blocks: false` leaves the text."""
    assert message(delivery(text="Won"), blocks=False, record_url=None) == {"text": "Won"}


def test_message_without_text_names_event_and_record() -> None:
    """An event for which no text is configured still says what happened."""
    placed = event("salesforce.event.Order_Placed__e", subject=None)

    assert message(delivery(), blocks=False, record_url=None)["text"] == f"Order created: {ORDER}"
    assert message(delivery(placed), blocks=False, record_url=None)["text"] == "Order_Placed__e: tx:1:"


def test_body_is_laid_over_the_message() -> None:
    """A mapping can answer in a thread; what it finds nothing for is left out."""
    mapped = delivery(text="Won", body={"thread_ts": "1.2", "icon_emoji": None})

    assert message(mapped, blocks=False, record_url=None) == {"text": "Won", "thread_ts": "1.2"}


def test_body_makes_no_mention_of_what_a_record_holds() -> None:
    """The body that it lays over the message is escaped like the message itself."""
    mapped = delivery(text="Won", body={"text": "<!channel>"})

    assert message(mapped, blocks=False, record_url=None) == {"text": "&lt;!channel&gt;"}


def test_long_parts_keep_to_slacks_limits() -> None:
    """Section, header and text are each cut at their own limit, with an ellipsis."""
    long_event = event("salesforce.event." + "E" * 200)
    long = message(delivery(long_event, text="x" * 50_000), blocks=True, record_url=None)
    header, section, _ = long["blocks"]

    assert [len(part) for part in (long["text"], header["text"]["text"], section["text"]["text"])] == [
        40_000,
        150,
        3_000,
    ]
    assert long["text"].endswith("x…")
