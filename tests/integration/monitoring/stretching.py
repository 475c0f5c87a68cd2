"""Stretches samples from seconds of a daemon to hours, and returns the alerts that Prometheus then fires."""

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.integration.guides.pages import ROOT
from tools.monitoring.prometheus import promtool

RULES = ROOT / "config" / "prometheus" / "rules.yaml"

# The series that an alert or a recording rule needs; the others would only take time.
_NEEDED = re.compile(r"\b(streamer_\w+|up)\b")
_BLOCKED = "StreamerEventLoopBlocked"
_AGES = ("streamer_unrecorded_seconds",)
# An alert needs to see this counter rise all the time.
_RISING = ("streamer_schema_registry_failures_total",)

Labels = tuple[tuple[str, str], ...]
Series = tuple[str, Labels]


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """Values of a process's series at one moment, `at` in epoch seconds; none where it can't be scraped."""

    at: float
    values: Mapping[Series, float] = field(default_factory=dict)

    @classmethod
    def of(cls, page: str, *, at: float, instance: str = "a") -> "Look":
        """Return what a page of `/metrics` shows, as Prometheus takes it."""
        scraped = (("instance", instance), ("job", "streamer"))
        values = {
            (sample.name, tuple(sorted([*sample.labels.items(), *scraped]))): sample.value
            for family in text_string_to_metric_families(page)
            for sample in family.samples
        }
        return cls(at=at, values={**values, ("up", scraped): 1.0})

    @classmethod
    def in_vain(cls, *, at: float, instance: str = "a") -> "Look":
        """Return what Prometheus has of a process that does not answer."""
        return cls(at=at, values={("up", (("instance", instance), ("job", "streamer"))): 0.0})

    def value(self, name: str, /, **labels: str) -> float | None:
        """Return the sum of the samples of `name` with `labels`; `None` without any."""
        found = [
            value
            for (each, have), value in self.values.items()
            if each == name and labels.items() <= dict(have).items()
        ]
        return sum(found) if found else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """Some time in which what was seen stays as it was, and the `alerts` that fire meanwhile.

    Two looks, `began` and `ended`, are seconds apart. In a phase without
    alerts, none fires at its end. Times stay as far from now as they were,
    but times in `stands` do not move on if they did not between the looks.
    """

    name: str
    began: Look
    ended: Look
    minutes: int = 70
    alerts: Collection[str] = ()
    stands: str = ""


def check(phases: Sequence[Phase], folder: Path, *, every_minutes: int = 1) -> str:
    """Hold each phase for its minutes; return what promtool says of the alerts, nothing if all is right."""
    rules, path = folder / "alerts.json", folder / "stretched.json"
    groups = yaml.safe_load(RULES.read_text())["groups"]
    rules.write_text(json.dumps({"groups": [each for each in groups if "record" not in each["rules"][0]]}))
    path.write_text(json.dumps(_file(phases, rules, every_minutes)), encoding="utf-8")
    ran = promtool("test", "rules", str(path))
    return "" if ran.returncode == 0 else ran.stdout + ran.stderr


def _file(phases: Sequence[Phase], rules: Path, step: int) -> dict[str, Any]:
    needed = set(_NEEDED.findall(rules.read_text()))
    series = sorted({each for phase in phases for each in phase.began.values if each[0] in needed})
    return {
        "rule_files": [str(rules)],
        "evaluation_interval": f"{step}m",
        "tests": [
            {
                "interval": f"{step}m",
                "input_series": [
                    {"series": _written(each), "values": _values(each, phases, step)} for each in series
                ],
                "promql_expr_test": list(_expected(phases, step)),
            }
        ],
    }


def _expected(phases: Sequence[Phase], step: int) -> Iterator[dict[str, Any]]:
    """Yield what fires in each phase: its alerts at some time, and nothing at the end of a quiet one."""
    end = 0
    for phase in phases:
        end += phase.minutes
        # A machine that gives the daemon no processor time blocks its loop, too.
        beside = "" if _BLOCKED in phase.alerts else f', alertname!="{_BLOCKED}"'
        firing = f'ALERTS{{alertstate="firing"{beside}}}'
        if phase.alerts:
            firing = f"max_over_time({firing}[{phase.minutes - step}m])"
        names = [f'{{alertname="{name}"}}' for name in sorted(phase.alerts)]
        yield {
            "expr": f"group by (alertname) ({firing})",
            "eval_time": f"{end - step}m",
            "exp_samples": [{"labels": labels, "value": 1} for labels in names],
        }


def _values(series: Series, phases: Sequence[Phase], step: int) -> str:
    parts, minute = [], 0
    for phase in phases:
        parts.append(_held(series, phase, minute, step))
        minute += phase.minutes
    return " ".join(parts)


def _held(series: Series, phase: Phase, minute: int, step: int) -> str:
    """Return the notation of promtool for the samples of one phase."""
    times, step_s = phase.minutes // step - 1, step * 60
    began, ended = phase.began.values.get(series), phase.ended.values.get(series)
    if ended is None:
        # Prometheus marks what is gone.
        return f"stale _x{times}"
    name = series[0]
    if name.endswith("_timestamp_seconds"):
        first = ended - phase.ended.at + minute * 60
        stands = bool(phase.stands) and name.startswith(phase.stands) and began == ended
        return f"{first:.3f}+{0 if stands else step_s}x{times}"
    if name in _AGES and ended - (began or 0.0) > 0.5 * (phase.ended.at - phase.began.at):
        return f"{ended:.3f}+{step_s}x{times}"
    if name in _RISING and began is not None and ended > began:
        rate = (ended - began) / (phase.ended.at - phase.began.at)
        return f"{ended!r}+{rate * step_s:.3f}x{times}"
    return f"{ended!r}+0x{times}"


def _written(series: Series) -> str:
    name, labels = series
    return name + "{" + ",".join(f"{label}={json.dumps(value)}" for label, value in labels) + "}"
