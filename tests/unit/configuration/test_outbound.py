"""The endpoint for outbound messages is refused where anybody could read or send them."""

from pathlib import Path

import pytest

from streamer.app.plan import plan
from streamer.clock import SystemClock
from streamer.configuration import load, load_document
from streamer.errors import ConfigurationError
from streamer.sandbox.certificates import certificates
from tests.unit.configuration.conftest import GOOD, Write, told_of

SECRET = "a-secret-of-enough-letters"
ALONE = GOOD.replace("[/data/ChangeEvents]", "[]").replace(
    "salesforce.cdc.Opportunity.updated", "salesforce.outbound.Lead"
)


def told(write: Write, section: str, text: str = GOOD) -> str:
    """Return the mistakes with the section `outbound` at the end, and nothing for a good one."""
    return told_of(write(f"{text}outbound: {section}\n"))


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("{messages: {}}", "messages: name at least one message"),
        (f"{{messages: {{leads: {{secret: {SECRET}}}}}}}", "other machines can reach this host"),
        (
            "{allow_plaintext: true, messages: {leads: {}}}",
            "can send the message leads: set the message's secret",
        ),
        ("{host: localhost, messages: {leads: {secret: short}}}", "must be 16 to 200 letters"),
        (f"{{host: localhost, messages: {{leads: {{secret: {SECRET}/x}}}}}}", "must be 16 to 200 letters"),
        ("{host: localhost, messages: {Leads: {}}}", "outbound.messages"),
        ("{host: localhost, port: 9464, messages: {leads: {}}}", "found 9464, which is also observe.port"),
        (
            "{host: '::1', messages: {a: {}}, tls: {certificate_file: a, key_file: b, client_subject: c}}",
            "client_subject needs client_ca_file",
        ),
    ],
)
def test_mistake_is_named_with_its_place(write: Write, section: str, message: str) -> None:
    """And no secret is shown."""
    said = told(write, section)

    assert said.startswith("9: outbound")
    assert message in said
    assert SECRET not in said


@pytest.mark.parametrize(
    "section",
    [
        "{host: localhost, messages: {leads: {}}}",
        f"{{allow_plaintext: true, messages: {{leads: {{secret: {SECRET}}}}}}}",
        f"{{tls: {{certificate_file: a, key_file: b}}, messages: {{leads: {{secret: {SECRET}}}}}}}",
        "{tls: {certificate_file: a, key_file: b, client_ca_file: c}, messages: {leads: {}}}",
    ],
)
def test_endpoint_that_keeps_others_out_is_taken(write: Write, section: str) -> None:
    """Beside channels, and alone."""
    assert told(write, section) == ""
    assert told(write, section, ALONE) == ""


def test_channels_can_be_none_only_beside_it(write: Write) -> None:
    """Nothing would be read."""
    path = write(ALONE.replace("salesforce.outbound.Lead", "salesforce.cdc.Lead.created"))
    with pytest.raises(ConfigurationError, match=r"channels: .*name at least one channel"):
        load(load_document([path], {}))


def test_type_that_only_the_endpoint_carries_needs_it(write: Write) -> None:
    """And a type of a change event is not among its types."""
    lead = GOOD.replace("salesforce.cdc.Opportunity.updated", "salesforce.outbound.Lead")
    with pytest.raises(ConfigurationError, match="which no channel carries"):
        load(load_document([write(lead)], {}))

    changes = ALONE.replace("salesforce.outbound.Lead", "salesforce.cdc.Lead.created")
    assert "which no channel carries" in told(write, "{host: localhost, messages: {leads: {}}}", changes)


def test_certificate_that_can_not_be_used_is_refused(write: Write, tmp_path: Path) -> None:
    """By `streamer check`, before anything listens."""
    server = certificates(tmp_path / "tls", ()).server
    for key, file in (("key_file", tmp_path / "missing.pem"), ("certificate_file", write("no PEM"))):
        files = {"certificate_file": server, "key_file": server, key: file}
        pairs = ", ".join(f"{name}: {path}" for name, path in files.items())
        path = write(f"{GOOD}outbound: {{tls: {{{pairs}}}, messages: {{leads: {{secret: {SECRET}}}}}}}\n")
        with pytest.raises(ConfigurationError, match=rf":9: outbound\.tls\.{key}: .* can't be used"):
            plan(load_document([path], {}), SystemClock())
