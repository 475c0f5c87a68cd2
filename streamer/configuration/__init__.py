"""Configuration: reads YAML files into settings, and reports mistakes with file, line and key."""

from streamer.configuration.document import Document, Fingerprints, Keys, dotted, fingerprints
from streamer.configuration.draft import Draft
from streamer.configuration.load import load, load_document, load_draft, load_section
from streamer.configuration.named_files import named_files, unfit_files
from streamer.configuration.problems import problems
from streamer.configuration.protection import protection_warnings

__all__ = [
    "Document",
    "Draft",
    "Fingerprints",
    "Keys",
    "dotted",
    "fingerprints",
    "load",
    "load_document",
    "load_draft",
    "load_section",
    "named_files",
    "problems",
    "protection_warnings",
    "unfit_files",
]
