"""Doctor: checks of a set-up before a daemon runs, or beside it, that change nothing."""

from streamer.doctor.check import Area, Check, CheckResult, CheckStatus, Finding
from streamer.doctor.diagnosis import Diagnosis, Doctor

__all__ = ["Area", "Check", "CheckResult", "CheckStatus", "Diagnosis", "Doctor", "Finding"]
