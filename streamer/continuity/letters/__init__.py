"""Redrive of dead letters that ingest has set aside: they are read again, and their events appended."""

from streamer.continuity.letters.decoder import LetterDecoder
from streamer.continuity.letters.redrives import LetterRedrives

__all__ = ["LetterDecoder", "LetterRedrives"]
