"""Limits of an org, as reported by the REST API (REST API guide, list org limits)."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

KEPT_SHARE = 0.2
"""Share of a limit that replays and repairs leave to other clients."""

# No org has a larger limit, and a float could not represent it exactly.
_MOST = 10**15


class OrgLimit(StrEnum):
    """Limits that Streamer uses, by Salesforce's keys; an org has the limits of its version and licences."""

    DELIVERED_EVENTS = "DailyDeliveredPlatformEvents"
    """Platform and change events in a rolling 24 hours; each event counts once for each client."""
    PUSH_TOPIC_EVENTS = "DailyDurableStreamingApiEvents"
    GENERIC_EVENTS = "DailyDurableGenericStreamingApiEvents"
    PUBLISHED_EVENTS = "HourlyPublishedPlatformEvents"
    PUBLISHED_STANDARD_VOLUME_EVENTS = "HourlyPublishedStandardVolumePlatformEvents"
    STANDARD_VOLUME_EVENTS = "DailyStandardVolumePlatformEvents"
    MONTHLY_EVENTS = "MonthlyPlatformEvents"
    """For API versions up to 47."""
    MONTHLY_EVENT_ENTITLEMENT = "MonthlyPlatformEventsUsageEntitlement"
    """For API versions since 48."""
    STREAMING_CLIENTS = "DurableStreamingApiConcurrentClients"
    API_REQUESTS = "DailyApiRequests"
    BULK_JOBS = "DailyBulkApiBatches"
    BULK_QUERY_JOBS = "DailyBulkV2QueryJobs"
    BULK_QUERY_STORAGE_MB = "DailyBulkV2QueryFileStorageMB"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """One limit: the maximum `most`, and the `remaining` part."""

    most: int
    remaining: int

    @property
    def share_left(self) -> float | None:
        """Share that is left; `None` if the maximum is 0, because the org lacks the feature."""
        return self.remaining / self.most if self.most else None


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitsReading:
    """Limits in one answer; `at` is in epoch seconds, `read_at` in monotonic seconds."""

    limits: Mapping[OrgLimit, Limit]
    at: float
    read_at: float


def limits_of(answer: Any) -> dict[OrgLimit, Limit]:
    """Return the known limits in an answer to `GET …/limits`; unreadable limits are left out."""
    if not isinstance(answer, dict):
        return {}
    read = {each: _limit(answer.get(each.value)) for each in OrgLimit}
    return {each: limit for each, limit in read.items() if limit is not None}


def _limit(value: Any) -> Limit | None:
    if not isinstance(value, dict):
        return None
    most, remaining = _count(value.get("Max")), _count(value.get("Remaining"))
    return None if most is None or remaining is None else Limit(most=most, remaining=remaining)


def _count(value: Any) -> int | None:
    """Return `value` as a count; a negative remainder of an exceeded limit counts as zero."""
    if type(value) is not int or value > _MOST:
        return None
    return max(0, value)
