"""Plugins of the package, as its entry points name them."""

PLUGINS = (
    "erp Erp",
    "file File",
    "fulfillment Fulfillment",
    "kafka Kafka",
    "mqtt Mqtt",
    "salesforce Salesforce",
    "slack Slack",
    "stdout Stdout",
    "webhook Webhook",
)
"""Name and class of each, sorted."""
