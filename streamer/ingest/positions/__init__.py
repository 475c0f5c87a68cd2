"""Orders of operators to read a channel on at another place."""

from streamer.ingest.positions.moves import (
    Move,
    known_place,
    move_of,
    position_record,
    refused_move,
    unchanged_record,
)
from streamer.ingest.positions.orders import OrderedPositions, PositionOrdered

__all__ = [
    "Move",
    "OrderedPositions",
    "PositionOrdered",
    "known_place",
    "move_of",
    "position_record",
    "refused_move",
    "unchanged_record",
]
