"""Outages that an earlier process has recorded in the audit."""

from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from streamer.app.control_follower import EarlierOutages, open_outages
from streamer.clock import TurnedClock
from streamer.controls import AuditRecord
from streamer.errors import CredentialsRefused
from streamer.events import SubscriberName
from streamer.ports import Controls

SLACK = SubscriberName("slack")


def audited(what: str, at: float, **detail: Any) -> AuditRecord:
    """Return a record of the subscriber's breaker."""
    return AuditRecord(at=at, what=what, by="streamer", subscriber=SLACK, detail=detail)


@pytest.mark.parametrize("since", ["yesterday", 7, {"a": 1}, "9999999999-01-01", ""])
def test_time_that_another_program_wrote_does_not_count(since: object) -> None:
    """The time of the record itself is known, and no value of the audit may end the daemon."""
    assert open_outages([audited("breaker.opened", 50.0, since=since)]) == {SLACK: 50.0}


def test_outage_that_has_ended_is_none() -> None:
    """Only the last state of the breaker counts."""
    opened = audited("breaker.opened", 50.0, since="1970-01-01T00:00:40Z")

    assert open_outages([opened]) == {SLACK: 40.0}
    assert open_outages([opened, audited("breaker.closed", 60.0)]) == {}


class Unreadable:
    """Controls whose audit this process may not read."""

    async def audit(self, *, last: int) -> list[AuditRecord]:
        """Refuse."""
        raise CredentialsRefused(f"no right to read the last {last} records")


async def test_audit_that_can_not_be_read_does_not_end_the_daemon() -> None:
    """The beginning of an outage is worth less than the deliveries."""
    outages = EarlierOutages(clock=TurnedClock(), dispatchers={})

    with capture_logs() as lines:
        await outages.recall(cast("Controls", Unreadable()))

    assert [line["event"] for line in lines] == ["outages.unknown"]
