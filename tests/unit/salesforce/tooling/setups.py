"""Setups of channels for the tests."""

from streamer.salesforce.tooling.setup import (
    DEFAULT_CHANNEL,
    ChannelMember,
    ChannelSetup,
    CustomChannel,
    member_name,
)

ERP = CustomChannel(id="0YL1", name="Erp__chn", kind="data", label="ERP")
ORDERS = CustomChannel(id="0YL2", name="Orders__chn", kind="event", label="Orders")


def member(
    selected: str,
    channel: str = DEFAULT_CHANNEL,
    *,
    filter_: str | None = None,
    enriched: tuple[str, ...] = (),
) -> ChannelMember:
    """Return a member that exists."""
    return ChannelMember(
        id=f"0v8-{channel}-{selected}",
        full_name=member_name(channel, selected),
        channel=channel,
        selected=selected,
        filter=filter_,
        enriched=enriched,
    )


SETUP = ChannelSetup(
    channels=(ERP, ORDERS),
    members=(
        member("AccountChangeEvent"),
        member("ContactChangeEvent"),
        member("AccountChangeEvent", "Erp__chn", filter_="Industry = 'Energy'", enriched=("ERP_Id__c",)),
        member("Order_Placed__e", "Orders__chn"),
    ),
)
"""Two custom channels, and two entities; one is on both channels of changes."""
