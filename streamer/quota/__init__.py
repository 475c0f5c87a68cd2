"""Quota: the org's limits, the remaining allowances, and the replays and repairs that must wait."""

from streamer.quota.governor import (
    ONE_REQUEST,
    BegunJobs,
    Governor,
    JobAllowance,
    JobCost,
    bulk_job,
    collections,
    cost_sentence,
    query,
)
from streamer.quota.limits import KEPT_SHARE, Limit, LimitsReading, OrgLimit, limits_of
from streamer.quota.monitor import LimitsMonitor, LimitsObserver, headroom
from streamer.quota.replays import ReplayAllowance

__all__ = [
    "KEPT_SHARE",
    "ONE_REQUEST",
    "BegunJobs",
    "Governor",
    "JobAllowance",
    "JobCost",
    "Limit",
    "LimitsMonitor",
    "LimitsObserver",
    "LimitsReading",
    "OrgLimit",
    "ReplayAllowance",
    "bulk_job",
    "collections",
    "cost_sentence",
    "headroom",
    "limits_of",
    "query",
]
