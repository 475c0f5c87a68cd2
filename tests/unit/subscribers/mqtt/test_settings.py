"""A mistake in the settings of the MQTT plugin is one clear sentence."""

from typing import Any

import pytest
from pydantic import ValidationError

from subscribers.mqtt import Mqtt
from subscribers.mqtt.packets import MqttVersion

URL = "mqtts://broker.example.com"


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"url": "https://e.com"}, "url must begin with mqtts:// and name a host"),
        ({"url": "broker:8883"}, "url must begin with mqtts:// and name a host"),
        ({"url": "mqtts://"}, "url must begin with mqtts:// and name a host"),
        ({"url": "mqtts://e.com:99999"}, "url is not a URL"),
        ({"url": "mqtts://e.com:0"}, "url is not a URL"),
        ({"url": "mqtts://e .com"}, "url is not a URL"),
        # Resolvers read it as 127.0.0.1, or not at all.
        ({"url": "mqtts://0x7f.1"}, "url is not a URL"),
        ({"url": "mqtts://u:hunter22@e.com"}, "set username and password instead"),
        ({"url": "mqtts://e.com/topic"}, "set topic instead"),
        ({"url": "mqtt://e.com"}, "url is plain mqtt: use mqtts"),
        ({"url": "mqtt://localhost", "ca_file": "/ca.pem"}, "have no effect on a plain mqtt url"),
        ({"topic": ""}, "is empty"),
        ({"topic": "a/+"}, "must not contain +, #"),
        ({"topic": "$SYS/a"}, "must not begin with $"),
        ({"topic": "x" * 65_536}, "is longer than 65,535 bytes"),
        ({"topic": "{city}"}, "{city} is not a placeholder"),
        ({"password": "hunter22"}, "username is missing"),
        ({"username": "a\0"}, "username is longer than 65,535 bytes, is not UTF-8, or contains a NUL"),
        # As an environment variable in another encoding is read.
        ({"username": "a", "password": "\udcfc"}, "password is longer than 65,535 bytes, is not UTF-8"),
        ({"version": "3.1.1", "content_mode": "binary"}, "content_mode: binary needs version 5"),
        ({"version": "3.1.1", "expiry_s": 5}, "expiry_s needs version 5: remove expiry_s, or set version: 5"),
        ({"version": "4"}, "'5' or '3.1.1'"),
        ({"deletions": "clear"}, "deletions: clear needs retain: true"),
        ({"qos": 3}, "0, 1 or 2"),
    ],
)
def test_mistake_is_a_clear_sentence(settings: dict[str, Any], sentence: str) -> None:
    """It names the mistake and the allowed values, and shows no secret."""
    with pytest.raises(ValidationError) as error:
        Mqtt.Settings.model_validate({"url": URL, "topic": "t", **settings})

    assert sentence in str(error.value)
    assert "hunter22" not in str(error.value)


@pytest.mark.parametrize(
    ("url", "port"), [(URL, 8883), (f"{URL}:1", 1), ("mqtt://localhost", 1883), ("mqtt://[::1]:7/", 7)]
)
def test_port_is_the_usual_one_unless_it_is_named(url: str, port: int) -> None:
    """8883 with TLS, 1883 without."""
    assert Mqtt.Settings(url=url, topic="t").broker[2] == port


@pytest.mark.parametrize("version", [5, "5"])
def test_version_needs_no_quotes(version: object) -> None:
    """In YAML a 5 is a number."""
    read = Mqtt.Settings.model_validate({"url": URL, "topic": "t", "version": version})

    assert read.version is MqttVersion.V5
