"""Dashboard rows about deliveries to targets."""

from tools.monitoring.panels import JOBS, NONE_IS_GOOD, SUBSCRIBERS, graph, increase, quantile, rate, states

DISPATCH = (
    states(
        "Subscribers",
        "Held: an operator, the guard or the target has stopped deliveries. Down: the breaker is open.",
        (
            (
                f"max by (subscriber) (streamer_subscriber_held{{{SUBSCRIBERS}}}) "
                f"+ max by (subscriber) (streamer_breaker_open{{{SUBSCRIBERS}}})"
            ),
            "{{subscriber}}",
        ),
        ("delivers", "held", "down"),
        ((None, "green"), (1, "orange"), (2, "red")),
    ),
    graph(
        "Deliveries by outcome",
        "Attempts, and events skipped without an attempt.",
        (
            # Outcomes that do not occur have no line.
            rate("streamer_deliveries_total", SUBSCRIBERS, "subscriber", "outcome") + " > 0",
            "{{subscriber}} {{outcome}}",
        ),
        unit="ops",
    ),
    graph(
        "Failed attempts by class of error",
        "Attempts that did not deliver the event.",
        (
            rate("streamer_failed_attempts_total", SUBSCRIBERS, "subscriber", "error"),
            "{{subscriber}} {{error}}",
        ),
        unit="ops",
    ),
    graph(
        "Events that wait",
        "Unsettled events in the log, summed over all processes.",
        (f"sum by (subscriber) (streamer_delivery_lag_events{{{SUBSCRIBERS}}})", "{{subscriber}}"),
    ),
    graph(
        "Oldest undelivered event",
        (
            "Time since the commit of the oldest undelivered event. An alert compares it with the "
            "subscriber's `deliver_within`."
        ),
        (
            f"time() - min by (subscriber) (streamer_oldest_undelivered_timestamp_seconds{{{SUBSCRIBERS}}})",
            "{{subscriber}}",
        ),
        unit="s",
    ),
    graph(
        "Parked events",
        "Events whose key waits behind an event that keeps failing. `streamer parked list` shows the keys.",
        (f"sum by (subscriber) (streamer_parked_events{{{SUBSCRIBERS}}})", "{{subscriber}}"),
    ),
    graph(
        "Attempts in flight",
        "Current attempts, and their limit, which adapts to the target.",
        (f"sum by (subscriber) (streamer_delivery_in_flight{{{SUBSCRIBERS}}})", "{{subscriber}}"),
        (f"sum by (subscriber) (streamer_delivery_limit{{{SUBSCRIBERS}}})", "{{subscriber}} limit"),
    ),
)

TARGETS = (
    graph(
        "Duration of an attempt",
        "Duration of attempts that sent a request.",
        (quantile(0.5, "streamer_delivery_seconds", SUBSCRIBERS, "subscriber"), "{{subscriber}} p50"),
        (quantile(0.99, "streamer_delivery_seconds", SUBSCRIBERS, "subscriber"), "{{subscriber}} p99"),
        unit="s",
    ),
    graph(
        "From Salesforce to the target by subscriber, p99",
        "Time from an event's commit in Salesforce until the target accepts the event.",
        (quantile(0.99, "streamer_event_to_target_seconds", SUBSCRIBERS, "subscriber"), "{{subscriber}}"),
        unit="s",
    ),
    graph(
        "Dead letters that wait",
        "Dead letters that are neither redriven nor discarded yet.",
        (
            f"max by (subscriber, reason) (streamer_dead_letters_waiting{{{JOBS}}}) > 0",
            "{{subscriber}} {{reason}}",
        ),
    ),
    graph(
        "New dead letters",
        "Events that became dead letters, by reason.",
        (
            increase(
                "streamer_dead_letters_total", f'{SUBSCRIBERS}, stage="dispatch"', "subscriber", "reason"
            ),
            "{{subscriber}} {{reason}}",
        ),
    ),
    graph(
        "Look-ups of records",
        "Look-ups of subscribers with `enrich`, by result.",
        (rate("streamer_lookups_total", JOBS, "result"), "{{result}}"),
        unit="ops",
    ),
    graph(
        "Calls for look-ups",
        "Duration of a call, and calls by result.",
        (quantile(0.99, "streamer_lookup_seconds", JOBS), "p99"),
        unit="s",
    ),
    states(
        "Look-ups that wait",
        "Shows whether look-ups wait for Salesforce, the org's daily requests or a service.",
        (f"max by (instance) (streamer_lookups_waiting{{{JOBS}}})", "{{instance}}"),
        ("go on", "wait"),
        NONE_IS_GOOD,
    ),
)
