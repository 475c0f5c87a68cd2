"""Orders of operators to read a channel on at another place."""

from streamer.ingest.positions.moves import Move, move_of, position_record, unchanged_record
from streamer.ingest.positions.orders import OrderedPositions, PositionOrdered

__all__ = [
    "Move",
    "OrderedPositions",
    "PositionOrdered",
    "move_of",
    "position_record",
    "unchanged_record",
]
