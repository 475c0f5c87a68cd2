"""Dashboard rows about the stream from Salesforce, the log, holes and the org's limits."""

from tools.monitoring.panels import (
    CHANNELS,
    JOBS,
    NONE_IS_GOOD,
    ONE_IS_GOOD,
    SHARE_LEFT,
    SUBSCRIBERS,
    Panel,
    Query,
    graph,
    increase,
    quantile,
    rate,
    states,
)

INGEST = (
    states(
        "Channels",
        "Shows whether the owner of each channel reads it.",
        (f"max by (channel) (streamer_channel_up{{{CHANNELS}}})", "{{channel}}"),
        ("not read", "read"),
        ONE_IS_GOOD,
    ),
    graph(
        "Events by channel",
        "Events appended to the log.",
        (rate("streamer_ingest_events_total", CHANNELS, "channel"), "{{channel}}"),
        unit="ops",
    ),
    graph(
        "Age of events by channel, p99",
        "Time from the commit in Salesforce until the event is in the log, for the first event of an append.",
        (quantile(0.99, "streamer_event_age_seconds", CHANNELS, "channel"), "{{channel}}"),
        unit="s",
    ),
    graph(
        "Bytes from Salesforce",
        "Bytes of the answers that Streamer has read.",
        (f"sum(rate(streamer_ingest_bytes_total{{{JOBS}}}[$__rate_interval]))", "read"),
        unit="Bps",
    ),
    graph(
        "Sessions with Salesforce",
        "Opened sessions, lost sessions by reason, and requests that Salesforce did not answer in time.",
        (f"sum(increase(streamer_session_handshakes_total{{{JOBS}}}[$__rate_interval]))", "opened"),
        (f"sum(increase(streamer_session_overdue_total{{{JOBS}}}[$__rate_interval]))", "overdue answers"),
        (
            increase("streamer_session_lost_total", JOBS, "reason"),
            "lost: {{reason}}",
        ),
    ),
    graph(
        "Subscriptions by Salesforce's answer",
        "Streamer subscribes to each channel again in each session.",
        (
            increase("streamer_session_subscriptions_total", CHANNELS, "channel", "outcome"),
            "{{channel}} {{outcome}}",
        ),
    ),
)

LOG = (
    states(
        "Log and login",
        "Shows whether a process waits for its log, or for Salesforce to accept its login.",
        (
            (
                f'label_replace(streamer_log_unavailable{{{JOBS}}}, "what", "log", "", "") '
                f'or label_replace(streamer_login_awaited{{{JOBS}}}, "what", "login", "", "")'
            ),
            "{{instance}} {{what}}",
        ),
        ("in order", "waited for"),
        NONE_IS_GOOD,
    ),
    graph(
        "Time of an append",
        "Time from the start of an append until the batch is durable in the log.",
        (quantile(0.5, "streamer_append_seconds", CHANNELS), "p50"),
        (quantile(0.99, "streamer_append_seconds", CHANNELS), "p99"),
        unit="s",
    ),
    graph(
        "Batches",
        "Batches appended to the log. A quiet channel appends empty batches, which keep its position fresh.",
        (rate("streamer_ingest_batches_total", CHANNELS, "channel"), "{{channel}}"),
        unit="ops",
    ),
    graph(
        "Aborted transactions",
        "Aborted transactions of the log in Kafka, caused by a refusal, a broker or a new owner.",
        (
            f"sum by (instance) (increase(streamer_transactions_aborted_total{{{JOBS}}}[$__rate_interval]))",
            "{{instance}}",
        ),
    ),
    graph(
        "Room of the embedded log",
        "Used share of log.sqlite.max_bytes. At 100%, ingest waits.",
        (
            f"max by (path) (streamer_log_used_bytes{{{JOBS}}} / streamer_log_max_bytes{{{JOBS}}})",
            "{{path}} in use",
        ),
        unit="percentunit",
    ),
    graph(
        "Deliveries that wait to be recorded",
        "Time for which finished deliveries have waited for the log. A restart repeats these deliveries.",
        (f"max by (subscriber) (streamer_unrecorded_seconds{{{SUBSCRIBERS}}})", "{{subscriber}}"),
        unit="s",
    ),
    graph(
        "Beats of the log's threads",
        "Time since the last heartbeat of each thread; 0 while the thread rests.",
        (f"max by (instance, thread) (streamer_poll_age_seconds{{{JOBS}}})", "{{instance}} {{thread}}"),
        unit="s",
    ),
    graph(
        "Messages set aside before the log",
        "Messages that are unreadable, or that the log does not accept.",
        (
            increase("streamer_dead_letters_total", f'{JOBS}, stage="ingest"', "reason"),
            "{{reason}}",
        ),
    ),
)

CONTINUITY = (
    graph(
        "Holes",
        "Detected holes and ordered snapshots, by cause.",
        (
            increase("streamer_continuity_records_total", CHANNELS, "channel", "cause"),
            "{{channel}} {{cause}}",
        ),
    ),
    graph(
        "Holes that stay",
        "Holes whose events are still missing after the repair, or that had no repair.",
        (
            increase("streamer_continuity_unrepaired_total", CHANNELS, "channel", "cause"),
            "{{channel}} {{cause}}",
        ),
    ),
    graph(
        "Age of checkpoints",
        "Time since the last proof that no event of the channel is missing.",
        (
            f"time() - max by (channel) (streamer_checkpoint_verified_timestamp_seconds{{{CHANNELS}}})",
            "{{channel}}",
        ),
        unit="s",
    ),
    graph(
        "Until events are dropped, by channel",
        "Time until Salesforce drops unread events.",
        (
            f"min by (channel) (streamer_checkpoint_expires_timestamp_seconds{{{CHANNELS}}} - time())",
            "{{channel}}",
        ),
        unit="s",
    ),
    Panel(
        title="Left of the org's limits",
        says="Remaining shares of the limits. Below a fifth, replays, repairs, snapshots and look-ups wait.",
        queries=[
            Query(
                "min by (limit) "
                f"(streamer_org_limit_remaining{{{JOBS}}} / (streamer_org_limit_max{{{JOBS}}} > 0))",
                "{{limit}}",
            )
        ],
        unit="percentunit",
        steps=SHARE_LEFT,
    ),
    graph(
        "Delivered events that are left",
        "Remainder of the day's allowance, which all clients of the org share.",
        (
            f'min by (job) (streamer_org_limit_remaining{{{JOBS}, limit="DailyDeliveredPlatformEvents"}})',
            "{{job}}",
        ),
    ),
    graph(
        "Until delivered events run out",
        (
            "Forecast at the rate of the last hour. The panel is empty without a forecast, or if the rest "
            "lasts for a day."
        ),
        (f"max by (job) (streamer_org_limit_used_up_timestamp_seconds{{{JOBS}}} - time())", "{{job}}"),
        unit="s",
    ),
    graph(
        "Outbound messages",
        "Salesforce's requests with outbound messages, by outcome.",
        (rate("streamer_outbound_requests_total", JOBS, "channel", "outcome"), "{{channel}} {{outcome}}"),
        unit="ops",
    ),
    graph(
        "Large texts",
        "Large texts that arrived as a diff, by result, and repeated outbound messages.",
        (rate("streamer_large_text_diffs_total", CHANNELS, "channel", "result"), "{{channel}} {{result}}"),
        unit="ops",
    ),
)
