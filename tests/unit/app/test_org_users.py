"""Only subscribers that use the daemon's org are made again when the org's settings change."""

from dataclasses import replace

from tests.unit.app.test_dispatching import ONE, OTHER, World


def test_change_of_the_org_concerns_only_those_that_use_it() -> None:
    """New credentials must not interrupt deliveries to other targets."""
    before = replace(World().plan(ONE, OTHER), org_users=frozenset([ONE]))
    org = before.settings.org.model_copy(update={"api_version": "65.0"})
    after = replace(before, settings=before.settings.model_copy(update={"org": org}))

    assert before.made_of(ONE) != after.made_of(ONE)
    assert before.made_of(OTHER) == after.made_of(OTHER)
