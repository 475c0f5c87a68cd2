"""Positions of a channel: start, checkpoints, operators' orders, and the resulting holes."""

from streamer.ingest.positions.checkpoints import OrderedPositions, PositionOrdered
from streamer.ingest.positions.moves import Move, known_place, move_of
from streamer.ingest.positions.positioning import OnRefused, Positioning

__all__ = [
    "Move",
    "OnRefused",
    "OrderedPositions",
    "PositionOrdered",
    "Positioning",
    "known_place",
    "move_of",
]
