"""Configuration: YAML files become settings; errors name the file, the line and the key."""

from streamer.configuration.document import Document, Keys
from streamer.configuration.fingerprint import Fingerprints, fingerprints
from streamer.configuration.load import load, load_document, problems

__all__ = ["Document", "Fingerprints", "Keys", "fingerprints", "load", "load_document", "problems"]
