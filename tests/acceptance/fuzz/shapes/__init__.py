"""Hostile inputs: extreme counts, sizes, depths and compression, schemas, expressions and slow bytes."""

from tests.acceptance.fuzz.shapes import answers, cometd, expressions, grpc_frames, ports, pubsub, records
from tests.acceptance.fuzz.shapes.shape import SHAPES

__all__ = ["SHAPES", "answers", "cometd", "expressions", "grpc_frames", "ports", "pubsub", "records"]
