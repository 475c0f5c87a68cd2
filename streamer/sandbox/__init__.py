"""A Salesforce org that runs on this machine, for tests, demos and continuous integration."""

from streamer.sandbox.channels import ChannelSettings
from streamer.sandbox.oauth import ConnectedApp
from streamer.sandbox.org import OrgSettings
from streamer.sandbox.server import Sandbox, SandboxSettings

__all__ = ["ChannelSettings", "ConnectedApp", "OrgSettings", "Sandbox", "SandboxSettings"]
