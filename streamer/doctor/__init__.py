"""Doctor: checks a set-up without changing it."""

from streamer.doctor.check import Area, Check, CheckResult, CheckStatus, Finding
from streamer.doctor.diagnosis import Diagnosis, Doctor

__all__ = ["Area", "Check", "CheckResult", "CheckStatus", "Diagnosis", "Doctor", "Finding"]
