"""Comparison of the org's records with the log."""

from streamer.continuity.reconciling.known_records import Drift, DriftKind, Reconciled
from streamer.continuity.reconciling.reconciliation import Asked, Phase, Reconciliation
from streamer.continuity.reconciling.schedule import ReconcileObserver, ReconcileSchedule

__all__ = [
    "Asked",
    "Drift",
    "DriftKind",
    "Phase",
    "ReconcileObserver",
    "ReconcileSchedule",
    "Reconciled",
    "Reconciliation",
]
