"""JSON of checkpoints and of the orders to change them."""

from streamer.admin.json_views import optional_time, rfc3339
from streamer.controls import PositionOrder
from streamer.events import JsonObject
from streamer.ports import StoredCheckpoint
from streamer.replay_ids import is_of_cometd, optional_text
from streamer.settings import Settings


def checkpoint_json(
    path: str, stored: StoredCheckpoint | None, settings: Settings, order: PositionOrder | None
) -> JsonObject:
    """Return the position of the channel at `path`, and the `order` that waits to change it.

    Without `stored`, the log has no checkpoint of it. `transport` comes from the
    configuration, or from the replay id for a channel that is not configured.
    """
    checkpoint = stored.checkpoint if stored else None
    rules = {each.path: each for each in settings.channels}.get(path)
    replay_id = (checkpoint.open_replay_id or checkpoint.replay_id) if checkpoint else None
    verified_at = (checkpoint.verified_at or None) if checkpoint else None
    transport = None if replay_id is None else "cometd" if is_of_cometd(replay_id) else "pubsub"
    return {
        "channel": path,
        "org": checkpoint.channel.org if checkpoint else None,
        "configured": path in settings.paths or rules is not None,
        "transport": str(settings.transport_of(rules)) if rules else transport,
        "replay_id": optional_text(replay_id),
        "complete_replay_id": optional_text(checkpoint.replay_id) if checkpoint else None,
        "verified_at": optional_time(verified_at),
        "positioned_at": optional_time(checkpoint.positioned_at) if checkpoint else None,
        "stored_at": optional_time(stored.stored_at) if stored else None,
        "expires_at": rfc3339(checkpoint.channel.expires_at(verified_at))
        if checkpoint and verified_at
        else None,
        "owner": stored.owner if stored else "",
        "order": order_json(order) if order else None,
    }


def order_json(order: PositionOrder) -> JsonObject:
    """Return an order to change a position."""
    return {
        "id": order.id,
        "channel": order.channel,
        "place": order.place,
        "replay_id": optional_text(order.replay_id),
        "since": optional_time(order.since),
        "repeat": order.repeat,
        "by": order.by,
        "at": rfc3339(order.at),
    }
