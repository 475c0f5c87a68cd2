"""Writes Grafana's dashboard: `python -m tools.monitoring.grafana`.

`config/grafana/dashboard.json` is generated from the rows of panels in
`tools.monitoring.rows`.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tools.monitoring.panels import Kind, Panel, Query
from tools.monitoring.rows import ROWS

PAGE = Path(__file__).parents[2] / "config" / "grafana" / "dashboard.json"

Json = dict[str, Any]

_SCHEMA_VERSION = 41
_COLUMNS = 24
_HEIGHTS = {Kind.STAT: 4, Kind.GRAPH: 8, Kind.STATES: 8, Kind.TABLE: 8}
_DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
_VARIABLES = (
    ("job", "Job", "label_values(streamer_build_info, job)"),
    ("channel", "Channel", 'label_values(streamer_channel_owned{job=~"$job"}, channel)'),
    ("subscriber", "Subscriber", 'label_values(streamer_subscriber_following{job=~"$job"}, subscriber)'),
)


def dashboard() -> Json:
    """Return the dashboard."""
    return {
        "uid": "streamer",
        "title": "Streamer",
        "description": "From Salesforce to the log and the targets. docs/alerts.md explains each alert.",
        "tags": ["streamer", "salesforce", "kafka"],
        "schemaVersion": _SCHEMA_VERSION,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "",
        "templating": {"list": [_datasource_variable(), *(_variable(*each) for each in _VARIABLES)]},
        "annotations": {"list": [_alerts_that_fire()]},
        "panels": list(_panels()),
    }


def _panels() -> Iterator[Json]:
    """Yield the rows and their panels, from left to right and downwards."""
    number, top = 1, 0
    for title, panels in ROWS:
        yield {
            "id": number,
            "type": "row",
            "title": title,
            "collapsed": False,
            "gridPos": {"h": 1, "w": _COLUMNS, "x": 0, "y": top},
            "panels": [],
        }
        number, top, left = number + 1, top + 1, 0
        height = 0
        for panel in panels:
            if left + panel.width > _COLUMNS:
                top, left, height = top + height, 0, 0
            place = {"h": _HEIGHTS[panel.kind], "w": panel.width, "x": left, "y": top}
            yield {"id": number, "gridPos": place, **_panel(panel)}
            number, left, height = number + 1, left + panel.width, max(height, place["h"])
        top += height


def _panel(panel: Panel) -> Json:
    return {
        "type": panel.kind.value,
        "title": panel.title,
        "description": panel.says,
        "datasource": _DATASOURCE,
        "targets": [_target(each, panel, number) for number, each in enumerate(panel.queries)],
        "fieldConfig": {"defaults": _defaults(panel), "overrides": []},
        "options": _OPTIONS[panel.kind],
    }


def _target(query: Query, panel: Panel, number: int) -> Json:
    is_instant = panel.kind is Kind.TABLE
    return {
        "refId": chr(ord("A") + number),
        "datasource": _DATASOURCE,
        "expr": query.expr,
        "legendFormat": query.legend,
        "instant": is_instant,
        "range": not is_instant,
        "format": "table" if is_instant else "time_series",
    }


def _defaults(panel: Panel) -> Json:
    defaults: Json = {"unit": panel.unit, "thresholds": _thresholds(panel.steps)}
    if panel.kind is Kind.GRAPH:
        defaults |= {
            "min": 0,
            "color": {"mode": "palette-classic"},
            "custom": {"drawStyle": "line", "lineWidth": 1, "fillOpacity": 8, "showPoints": "never"},
        }
        return defaults
    defaults["color"] = {"mode": "thresholds"}
    if panel.words:
        words = {str(value): {"text": text, "index": value} for value, text in enumerate(panel.words)}
        defaults["mappings"] = [{"type": "value", "options": words}]
    return defaults


def _thresholds(steps: Sequence[tuple[float | None, str]]) -> Json:
    return {"mode": "absolute", "steps": [{"value": value, "color": color} for value, color in steps]}


_OPTIONS: Mapping[Kind, Json] = {
    Kind.STAT: {
        "colorMode": "background",
        "graphMode": "none",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
    },
    Kind.GRAPH: {
        "legend": {
            "displayMode": "table",
            "placement": "bottom",
            "showLegend": True,
            "calcs": ["lastNotNull", "max"],
        },
        "tooltip": {"mode": "multi", "sort": "desc"},
    },
    Kind.STATES: {"mergeValues": True, "showValue": "never", "rowHeight": 0.8},
    Kind.TABLE: {"showHeader": True},
}


def _datasource_variable() -> Json:
    return {
        "name": "datasource",
        "label": "Data source",
        "type": "datasource",
        "query": "prometheus",
        "refresh": 1,
    }


def _variable(name: str, label: str, query: str) -> Json:
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": _DATASOURCE,
        "query": {"query": query, "refId": name},
        # Refreshed with each change of the time range, because channels and subscribers change.
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": ["All"], "value": ["$__all"]},
    }


def _alerts_that_fire() -> Json:
    return {
        "name": "Alerts",
        "enable": True,
        "iconColor": "red",
        "datasource": _DATASOURCE,
        "expr": 'ALERTS{alertname=~"Streamer.*", alertstate="firing"}',
        "titleFormat": "{{alertname}}",
        "textFormat": "{{subscriber}} {{channel}} {{instance}}",
    }


def files() -> Iterator[tuple[Path, str]]:
    """Yield the path and the text of the generated file."""
    yield PAGE, json.dumps(dashboard(), indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    """Write the dashboard."""
    for path, made in files():
        path.write_text(made, encoding="utf-8")


if __name__ == "__main__":
    main()
