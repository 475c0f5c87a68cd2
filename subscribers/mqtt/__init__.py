"""MQTT plugin, which publishes each event to a broker over MQTT 5 or 3.1.1."""

from subscribers.mqtt.plugin import Mqtt

__all__ = ["Mqtt"]
