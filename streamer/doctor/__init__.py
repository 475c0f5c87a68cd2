"""Doctor: checks of a set-up, which change nothing."""

from streamer.doctor.check import Area, Check, CheckResult, CheckStatus, Finding
from streamer.doctor.diagnosis import Diagnosis, Doctor

__all__ = ["Area", "Check", "CheckResult", "CheckStatus", "Diagnosis", "Doctor", "Finding"]
