"""Maps of the flow for tests, with and without trouble."""

from collections.abc import Sequence
from dataclasses import replace

from streamer.flow.flow_map import ChannelNode, FlowMap, Level, LogNode, NodeState, SubscriberNode
from streamer.flow.labels import OrgLabel

AT = 1_735_732_800.0
DELIVERING = NodeState(word="delivering", level=Level.GOOD)
DOWN = NodeState(
    word="target down",
    level=Level.BAD,
    reason="answered 503: the service is being upgraded",
    since=AT - 720,
    lasts_s=720.0,
)


def channel(path: str = "/data/ChangeEvents", **facts: object) -> ChannelNode:
    """Return a channel that is read, with other `facts`."""
    node = ChannelNode(path=path, state=NodeState(word="reading", level=Level.GOOD), per_second=12.4)
    return replace(node, **facts)  # type: ignore[arg-type] # each value fits its field # the fields of a node


def subscriber(name: str = "slack", **facts: object) -> SubscriberNode:
    """Return a subscriber that delivers, with other `facts`."""
    node = SubscriberNode(name=name, uses="slack", state=DELIVERING, per_second=1.5, lag=0)
    return replace(node, **facts)  # type: ignore[arg-type] # the fields of a node


def flow_map(
    subscribers: Sequence[SubscriberNode] = (),
    channels: Sequence[ChannelNode] = (channel(),),
    **facts: object,
) -> FlowMap:
    """Return a map of these parts."""
    found = FlowMap(
        org=OrgLabel.of("https://acme.my.salesforce.com"),
        at=AT,
        channels=channels,
        log=LogNode(kind="Kafka", state=NodeState(word="available", level=Level.GOOD)),
        subscribers=subscribers,
    )
    return replace(found, **facts)  # type: ignore[arg-type] # the fields of a map


def many(count: int) -> list[SubscriberNode]:
    """Return subscribers with all kinds of trouble, chains of three, and long names."""
    found: list[SubscriberNode] = []
    for number in range(count):
        name = (
            f"subscriber-{number}" if number % 7 else f"subscriber-{number}-with-a-name-of-the-longest-kind-x"
        )
        after = (found[-1].name,) if number % 10 in {3, 4} else ()
        found.append(subscriber(name[:63], after=after, per_second=number / 3))
    troubled = {
        17: {"state": DOWN, "lag": 120_430, "oldest_s": 7_500.0, "has_open_circuit": True, "parked": 4},
        33: {"dead_letters": 12},
        44: {"state": NodeState(word="paused", level=Level.WAITS, reason="ERP is upgraded"), "lag": 3},
        51: {"state": NodeState(word="not here", level=Level.QUIET), "lag": None, "per_second": None},
    }
    for number, facts in troubled.items():
        if number < count:
            # The values have the types of their fields, which mypy can't see.
            found[number] = replace(found[number], **facts)  # type: ignore[arg-type] # see above
    return found


def troubled_map() -> FlowMap:
    """Return a map of five subscribers with every kind of trouble."""
    return flow_map(
        [
            subscriber("invoice", state=DOWN, lag=1_204, oldest_s=300.0, has_open_circuit=True, parked=12),
            subscriber("shipment", after=("invoice",), per_second=0.0),
            subscriber("news", after=("shipment",), dead_letters=3),
            subscriber("archive", state=NodeState(word="paused", level=Level.WAITS, reason="disk"), lag=9),
            subscriber("audit", after=("invoice", "archive"), per_second=0.02),
        ],
        [
            channel(),
            channel("/event/Order_Placed__e", open_holes=1, lasting_holes=2, expires_in_s=18_000.0),
            channel(
                "/data/Opportunity_Line_Item_Configuration__ChangeEvent",
                state=NodeState(
                    word="stopped", level=Level.BAD, reason="403: no permission for this channel"
                ),
                per_second=0.0,
            ),
        ],
    )
