"""Dashboard rows, from the overview to the processes."""

from collections.abc import Sequence

from tools.monitoring.dispatch_rows import DISPATCH, TARGETS
from tools.monitoring.ingest_rows import CONTINUITY, INGEST, LOG
from tools.monitoring.panels import (
    CHANNELS,
    HOURS_LEFT,
    JOBS,
    NONE_IS_GOOD,
    ONE_IS_GOOD,
    SUBSCRIBERS,
    Kind,
    Panel,
    Query,
    graph,
    increase,
    quantile,
    stat,
    states,
)

_OVERVIEW = (
    stat(
        "Alerts",
        "Streamer's firing alerts. docs/alerts.md explains each alert.",
        'count(ALERTS{alertname=~"Streamer.*", alertstate="firing"}) or vector(0)',
        steps=NONE_IS_GOOD,
    ),
    stat("Processes", "Processes that Prometheus can scrape.", f"sum(up{{{JOBS}}})", steps=ONE_IS_GOOD),
    stat(
        "Channels that are not read",
        "Channels that no process reads now.",
        f"count(sum by (job, channel) (streamer_channel_up{{{CHANNELS}}} "
        f"or streamer_channel_owned{{{CHANNELS}}}) == 0) or vector(0)",
        steps=NONE_IS_GOOD,
    ),
    stat(
        "Holes that stay, 24 h",
        "Holes in the stream that no repair has closed. `streamer continuity list` shows these holes.",
        f'sum(increase(streamer_continuity_unrepaired_total{{{CHANNELS}, cause!="snapshot"}}[24h]))',
        steps=NONE_IS_GOOD,
    ),
    stat(
        "Dead letters, 24 h",
        "Events that became dead letters. `streamer deadletters list` shows the dead letters.",
        f"sum(increase(streamer_dead_letters_total{{{JOBS}}}[24h]))",
        steps=NONE_IS_GOOD,
    ),
    stat(
        "Until events are dropped",
        "Time until Salesforce drops unread events, for the channel that is furthest behind.",
        f"min(streamer_checkpoint_expires_timestamp_seconds{{{CHANNELS}}} - time())",
        unit="s",
        steps=HOURS_LEFT,
    ),
    graph(
        "Events in, deliveries out",
        "Events that enter the log, and accepted deliveries. An event can have several deliveries.",
        (f"sum(rate(streamer_ingest_events_total{{{CHANNELS}}}[$__rate_interval]))", "into the log"),
        (
            f'sum(rate(streamer_deliveries_total{{{SUBSCRIBERS}, outcome="delivered"}}[$__rate_interval]))',
            "delivered",
        ),
        unit="ops",
    ),
    graph(
        "From Salesforce to the log",
        "Time from the commit in Salesforce to the log, for the first event of each append.",
        (quantile(0.5, "streamer_event_age_seconds", CHANNELS), "p50"),
        (quantile(0.99, "streamer_event_age_seconds", CHANNELS), "p99"),
        unit="s",
    ),
    graph(
        "From Salesforce to the target",
        "Time from an event's commit in Salesforce until the target accepts the event.",
        (quantile(0.5, "streamer_event_to_target_seconds", SUBSCRIBERS), "p50"),
        (quantile(0.99, "streamer_event_to_target_seconds", SUBSCRIBERS), "p99"),
        unit="s",
    ),
)

_PROCESS = (
    graph(
        "Processor time",
        "One core is 1.",
        (f"rate(process_cpu_seconds_total{{{JOBS}}}[$__rate_interval])", "{{instance}}"),
        unit="percentunit",
    ),
    graph(
        "Memory",
        "Resident memory.",
        (f"process_resident_memory_bytes{{{JOBS}}}", "{{instance}}"),
        unit="bytes",
    ),
    graph("Open files", "And connections.", (f"process_open_fds{{{JOBS}}}", "{{instance}}")),
    graph(
        "Lag of the event loop, p99",
        "Delay with which the event loop runs its timers.",
        (quantile(0.99, "streamer_event_loop_lag_seconds", JOBS, "instance"), "{{instance}}"),
        unit="s",
    ),
    graph(
        "Blocks of the event loop",
        "Blocks for more than a second, by the subscriber whose plugin blocked the event loop.",
        (
            increase("streamer_event_loop_blocked_total", JOBS, "instance", "subscriber"),
            "{{instance}} {{subscriber}}",
        ),
    ),
    states(
        "Parts that are stuck",
        "A part has work but makes no progress, for an unknown reason.",
        (f"max by (instance, kind) (streamer_stuck{{{JOBS}}})", "{{instance}} {{kind}}"),
        ("move", "stuck"),
        NONE_IS_GOOD,
    ),
    states(
        "Configuration",
        "Refused: the files have a mistake, and the previous configuration stays in effect.",
        (
            (
                f"(1 - streamer_configuration_applied{{{JOBS}}}) * 2 "
                f"+ on (job, instance) streamer_configuration_restart_needed{{{JOBS}}}"
            ),
            "{{instance}}",
        ),
        ("in effect", "waits for a restart", "refused", "refused"),
        ((None, "green"), (1, "orange"), (2, "red")),
    ),
    Panel(
        title="Versions",
        says="Versions of Streamer and Python, and the mark of a standby process.",
        queries=[
            Query(
                f"streamer_build_info{{{JOBS}}} * on (job, instance) group_left () "
                f"(1 + streamer_standby{{{JOBS}}})",
                "{{instance}}",
            )
        ],
        kind=Kind.TABLE,
        width=16,
        words=("", "active", "standby"),
    ),
)


ROWS: Sequence[tuple[str, Sequence[Panel]]] = (
    ("Overview", _OVERVIEW),
    ("Salesforce", INGEST),
    ("Log", LOG),
    ("Dispatch", DISPATCH),
    ("Targets", TARGETS),
    ("Continuity and quota", CONTINUITY),
    ("Processes", _PROCESS),
)
"""Titles of the rows, with their panels."""
