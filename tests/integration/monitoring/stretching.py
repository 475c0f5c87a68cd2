"""What was seen at a daemon within seconds, held for hours, and the alerts that Prometheus then fires."""

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.integration.guides.pages import ROOT
from tools.prometheus import promtool

RULES = ROOT / "config" / "prometheus" / "rules.yaml"

# The series that an alert or a recording rule needs; the others would only take time.
_NEEDED = re.compile(r"\b(streamer_\w+|up)\b")
_AGES = ("streamer_unrecorded_seconds",)

Labels = tuple[tuple[str, str], ...]
Series = tuple[str, Labels]


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """The values of a process's series at one moment, `at` in epoch seconds; none where it can't be scraped."""

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
            value for (each, have), value in self.values.items() if each == name and labels.items() <= dict(have).items()
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
    minutes: int = 90
    alerts: Collection[str] = ()
    stands: str = ""


def check(phases: Sequence[Phase], folder: Path) -> str:
    """Hold each phase for its minutes, and return what promtool says of the alerts; nothing if all is right."""
    path = folder / "stretched.yaml"
    path.write_text(json.dumps(_file(phases)), encoding="utf-8")
    ran = promtool("test", "rules", str(path))
    return "" if ran.returncode == 0 else ran.stdout + ran.stderr


def _file(phases: Sequence[Phase]) -> dict[str, Any]:
    needed = set(_NEEDED.findall(RULES.read_text()))
    series = sorted({each for phase in phases for each in phase.began.values if each[0] in needed})
    return {
        "rule_files": [str(RULES)],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": _written(each), "values": _values(each, phases)} for each in series],
                "promql_expr_test": list(_expected(phases)),
            }
        ],
    }


def _expected(phases: Sequence[Phase]) -> Iterator[dict[str, Any]]:
    """Yield what fires in each phase: exactly its alerts at some time, and nothing at the end of a quiet one."""
    end = 0
    for phase in phases:
        end += phase.minutes
        firing = 'ALERTS{alertstate="firing"}'
        if phase.alerts:
            firing = f"max_over_time({firing}[{phase.minutes - 1}m])"
        names = [f'{{alertname="{name}"}}' for name in sorted(phase.alerts)]
        yield {
            "expr": f"group by (alertname) ({firing})",
            "eval_time": f"{end - 1}m",
            "exp_samples": [{"labels": labels, "value": 1} for labels in names],
        }


def _values(series: Series, phases: Sequence[Phase]) -> str:
    parts, minute = [], 0
    for phase in phases:
        parts.append(_held(series, phase, minute))
        minute += phase.minutes
    return " ".join(parts)


def _held(series: Series, phase: Phase, minute: int) -> str:
    """Return the notation of promtool for the samples of one phase."""
    times = phase.minutes - 1
    began, ended = phase.began.values.get(series), phase.ended.values.get(series)
    if ended is None:
        # Prometheus marks what is gone.
        return f"stale _x{times}"
    name = series[0]
    if name.endswith("_timestamp_seconds"):
        first = ended - phase.ended.at + minute * 60
        stands = bool(phase.stands) and name.startswith(phase.stands) and began == ended
        return f"{first:.3f}{'+0' if stands else '+60'}x{times}"
    if name in _AGES and ended - (began or 0.0) > 0.5 * (phase.ended.at - phase.began.at):
        return f"{ended:.3f}+60x{times}"
    return f"{ended!r}+0x{times}"


def _written(series: Series) -> str:
    name, labels = series
    return name + "{" + ",".join(f"{label}={json.dumps(value)}" for label, value in labels) + "}"
