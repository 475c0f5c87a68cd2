"""Hostile shapes: bombs in count, size, depth and compression, schemas, expressions and slow drips."""

from tests.acceptance.fuzz.shapes import answers, cometd, expressions, grpc_frames, ports, pubsub, records
from tests.acceptance.fuzz.shapes.shape import SHAPES

__all__ = ["SHAPES", "answers", "cometd", "expressions", "grpc_frames", "ports", "pubsub", "records"]
