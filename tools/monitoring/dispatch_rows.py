"""Rows of the dashboard on what goes to the targets."""

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
        "Attempts, and events that were skipped without one.",
        (
            # An outcome that does not occur has no line.
            rate("streamer_deliveries_total", SUBSCRIBERS, "subscriber", "outcome") + " > 0",
            "{{subscriber}} {{outcome}}",
        ),
        unit="ops",
    ),
    graph(
        "Failed attempts by class of error",
        "Attempts after which the event was not delivered.",
        (
            rate("streamer_failed_attempts_total", SUBSCRIBERS, "subscriber", "error"),
            "{{subscriber}} {{error}}",
        ),
        unit="ops",
    ),
    graph(
        "Events that wait",
        "Events in the log that are not settled yet, over all processes.",
        (f"sum by (subscriber) (streamer_delivery_lag_events{{{SUBSCRIBERS}}})", "{{subscriber}}"),
    ),
    graph(
        "Oldest undelivered event",
        "Time since its commit in Salesforce. An alert compares it with `deliver_within` of the subscriber.",
        (
            f"time() - min by (subscriber) (streamer_oldest_undelivered_timestamp_seconds{{{SUBSCRIBERS}}})",
            "{{subscriber}}",
        ),
        unit="s",
    ),
    graph(
        "Parked events",
        "Events whose key waits behind one that keeps failing. `streamer parked list` shows the keys.",
        (f"sum by (subscriber) (streamer_parked_events{{{SUBSCRIBERS}}})", "{{subscriber}}"),
    ),
    graph(
        "Attempts in flight",
        "And the most that can be: the limit adapts to the target.",
        (f"sum by (subscriber) (streamer_delivery_in_flight{{{SUBSCRIBERS}}})", "{{subscriber}}"),
        (f"sum by (subscriber) (streamer_delivery_limit{{{SUBSCRIBERS}}})", "{{subscriber}} limit"),
    ),
)

TARGETS = (
    graph(
        "Duration of an attempt",
        "Of attempts that sent a request.",
        (quantile(0.5, "streamer_delivery_seconds", SUBSCRIBERS, "subscriber"), "{{subscriber}} p50"),
        (quantile(0.99, "streamer_delivery_seconds", SUBSCRIBERS, "subscriber"), "{{subscriber}} p99"),
        unit="s",
    ),
    graph(
        "From Salesforce to the target by subscriber, p99",
        "From the commit in Salesforce to the target's acceptance.",
        (quantile(0.99, "streamer_event_to_target_seconds", SUBSCRIBERS, "subscriber"), "{{subscriber}}"),
        unit="s",
    ),
    graph(
        "Dead letters that wait",
        "Letters that are neither delivered again nor discarded, now.",
        (
            f"max by (subscriber, reason) (streamer_dead_letters_waiting{{{JOBS}}}) > 0",
            "{{subscriber}} {{reason}}",
        ),
    ),
    graph(
        "New dead letters",
        "Events that a target can't accept, by reason.",
        (
            increase(
                "streamer_dead_letters_total", f'{SUBSCRIBERS}, stage="dispatch"', "subscriber", "reason"
            ),
            "{{subscriber}} {{reason}}",
        ),
    ),
    graph(
        "Look-ups of records",
        "For subscribers with `enrich`, by result.",
        (rate("streamer_lookups_total", JOBS, "result"), "{{result}}"),
        unit="ops",
    ),
    graph(
        "Calls for look-ups",
        "Duration of a call, and the calls by result.",
        (quantile(0.99, "streamer_lookup_seconds", JOBS), "p99"),
        unit="s",
    ),
    states(
        "Look-ups that wait",
        "For Salesforce, or for the org's daily requests.",
        (f"max by (instance) (streamer_lookups_waiting{{{JOBS}}})", "{{instance}}"),
        ("go on", "wait"),
        NONE_IS_GOOD,
    ),
)
