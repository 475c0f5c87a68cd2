"""Dead letters and redrives: lists, previews, orders."""

from streamer.admin.letters.redrives import RedriveResource
from streamer.admin.letters.resource import LetterResource

__all__ = ["LetterResource", "RedriveResource"]
