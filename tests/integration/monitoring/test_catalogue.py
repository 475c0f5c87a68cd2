"""The catalogue of metrics is up to date, and names the values that each label can have."""

import pytest

from tests.integration.guides.pages import page
from tools.monitoring.metrics_reference import VALUES, Declared, declared, files, values

METRICS = declared()


def test_page_is_up_to_date() -> None:
    """`make reference` writes it again."""
    assert [path.name for path, text in files() if path.read_text(encoding="utf-8") != text] == []


@pytest.mark.parametrize("metric", METRICS, ids=lambda each: each.name)
def test_every_label_is_bounded(metric: Declared) -> None:
    """By a closed set, or by the configuration, or by a number of words."""
    for label in metric.labels:
        bound = values(metric, label)
        assert bound.closed or bound.source


def test_every_metric_has_a_row() -> None:
    """With all its labels."""
    text = page("docs/metrics.md")

    assert len(METRICS) > 40
    assert [
        each.name for each in METRICS if f"| `{each.name}` | {each.kind} | {each.unit} |" not in text
    ] == []


def test_no_label_is_told_of_that_nothing_has() -> None:
    """A metric that went leaves nothing behind."""
    families = {each.family.removeprefix("streamer_"): each.labels for each in METRICS}
    labels = {label for each in METRICS for label in each.labels}

    assert [
        (name, label) for name, label in VALUES if label not in (families[name] if name else labels)
    ] == []
