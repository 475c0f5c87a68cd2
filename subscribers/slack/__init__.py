"""Slack plugin, which posts messages to a channel by an incoming webhook or as an app."""

from subscribers.slack.plugin import Slack
from subscribers.slack.settings import SlackSettings

__all__ = ["Slack", "SlackSettings"]
