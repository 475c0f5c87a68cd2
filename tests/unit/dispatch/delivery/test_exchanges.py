"""An exchange is kept in few bytes, and without secrets, whatever the plugin says."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.dispatch.delivery.plugin_calls import outcome_of
from streamer.events import AttemptExchange, Disable, FailedAttempt, FailureClass, Retry, answer_beginning
from streamer.events.outcomes import KEPT_HEADERS, MOST_BYTES
from streamer.known_secrets import KNOWN
from streamer.log.records.events import attempt_fields

TARGET = "https://erp.example.com"


def kept(exchange: Any) -> AttemptExchange | None:
    """Return the exchange that dispatch keeps of a plugin's outcome."""
    outcome = outcome_of(Retry(reason="no", exchange=exchange))
    assert isinstance(outcome, Retry)
    return outcome.exchange


def sure(exchange: Any) -> AttemptExchange:
    """Return the exchange that dispatch keeps, which must not be `None`."""
    found = kept(exchange)
    assert found is not None
    return found


def test_only_helpful_headers_are_kept() -> None:
    """All others can contain secrets."""
    said = {
        "Retry-After": "7",
        "Set-Cookie": "id=1",
        "Authorization": "x",
        "X-Api-Key": "k",
        "X-Request-ID": "r",
    }

    assert sure(AttemptExchange(request="GET /", headers=said)).headers == {
        "retry-after": "7",
        "x-request-id": "r",
    }


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        (f"POST {TARGET}/a?code=hunter22&v=1", f"POST {TARGET}/a?code=***&v=***"),
        (f"POST {TARGET}/a?hunter22", f"POST {TARGET}/a?***"),
        (f"POST {TARGET}/a?v=1&hunter22#x", f"POST {TARGET}/a?v=***&***#x"),
        ("POST https://u:hunter22@erp.example.com/a", f"POST {TARGET}/a"),
        (f"POST {TARGET}/a;sig=hunter22", f"POST {TARGET}/a;sig=***"),
        (f"POST {TARGET}/k/known-secret/b", f"POST {TARGET}/k/***/b"),
    ],
)
def test_address_has_no_secret(written: str, shown: str) -> None:
    """Values of a query and credentials are secrets until the contrary is known."""
    KNOWN.configure(["known-secret"])

    assert sure(AttemptExchange(request=written)).request == shown


def test_known_secret_in_a_header_is_masked() -> None:
    """A target can repeat a request's token in its own headers."""
    KNOWN.configure(["known-secret"])
    exchange = AttemptExchange(request="GET /", headers={"x-request-id": "of known-secret"})

    assert sure(exchange).headers == {"x-request-id": "of ***"}


WRONG: Any = "as foreign code gives it"


@pytest.mark.parametrize(
    "value", ["POST /", 7, {"request": "POST /"}, AttemptExchange(request="G", size=WRONG)]
)
def test_value_that_is_no_exchange_is_left_out(value: Any) -> None:
    """The outcome counts all the same."""
    assert kept(value) is None


def test_outcome_that_pauses_the_subscriber_has_no_attempt_to_explain() -> None:
    """Its text is the reason of the pause."""
    assert outcome_of(Disable(reason="gone")) == Disable(reason="gone")


@given(
    request=st.text(max_size=2_000),
    status=st.none() | st.integers(),
    size=st.integers(),
    value=st.text(max_size=300),
    answer=st.text(max_size=2_000),
)
def test_exchange_and_answer_take_at_most_a_kibibyte(
    request: str, status: int | None, size: int, value: str, answer: str
) -> None:
    """In a record of the log, with all the headers that can be kept."""
    exchange = sure(
        AttemptExchange(
            request=request,
            status=status,
            size=size,
            digest="0" * 16,
            headers=dict.fromkeys(KEPT_HEADERS, value),
        )
    )
    attempt = FailedAttempt(
        at=0.0,
        seconds=0.0,
        failure=FailureClass.OTHER,
        error="",
        answer=answer_beginning(answer),
        exchange=exchange,
    )
    [fields] = attempt_fields([attempt])["failed_attempts"]

    assert len(orjson.dumps({name: fields.get(name) for name in ("answer", "exchange")})) <= MOST_BYTES
