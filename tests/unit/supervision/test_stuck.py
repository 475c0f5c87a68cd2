"""The time after which work without progress counts as stuck."""

from streamer.settings import Settings
from streamer.supervision.monitor import StuckLimits
from tests.unit.supervision.parts import SALES


def test_limits_exceed_what_deadlines_allow() -> None:
    """A short setting can't make a slow append or delivery look stuck."""
    settings = Settings.model_validate(
        {
            "org": {
                "login_url": "https://acme.my.salesforce.com",
                "auth": {"flow": "client_credentials", "client_id": "app", "client_secret": "sesame"},
            },
            "channels": ["/data/ChangeEvents"],
            "log": {"kafka": {"bootstrap_servers": "kafka:9092", "append_deadline_s": 20}},
            "subscribers": {"sales": {"uses": "slack", "on": "*", "deliver_timeout_s": 300}},
            "observe": {"stuck_after_s": 1},
        }
    )
    limits = StuckLimits.of(settings)

    assert limits.log_s > 2 * 20
    assert limits.subscribers_s[SALES] > 300
