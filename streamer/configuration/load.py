"""Loads the configuration's files into settings, with exact messages for mistakes."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from streamer.configuration.consistency import inconsistencies
from streamer.configuration.document import Document
from streamer.configuration.draft import Draft, draft
from streamer.configuration.named_files import unfit_files
from streamer.configuration.problems import problems
from streamer.configuration.reading import read_document
from streamer.errors import ConfigurationError
from streamer.known_secrets import KNOWN, secrets_in
from streamer.settings import Section, Settings

_Section = TypeVar("_Section", bound=Section)


def load_document(paths: Sequence[Path], environ: Mapping[str, str] = os.environ) -> Document:
    """Read the files `paths`, and merge them in their order into a document.

    Mappings merge key by key; any other value replaces the earlier value. `${NAME}` and
    `${NAME:-default}` in a text come from `environ`. `{file: path}` means a file's
    content without the final line break; the path is relative to the folder of the file
    that contains this text. A missing variable or file is one of the document's
    mistakes.

    Raises `ConfigurationError` with one line for each unreadable file.
    """
    documents: list[Document] = []
    unread: list[str] = []
    for path in paths:
        try:
            documents.append(read_document(path, environ))
        except ConfigurationError as error:
            unread.append(str(error))
    if unread:
        raise ConfigurationError("\n".join(unread))
    return Document.merged(documents)


def load_draft(document: Document) -> Draft:
    """Return the settings in `document`, with all mistakes in keys and between keys."""
    read = draft(document)
    read = read.with_unfit(unfit_files(read.settings), document)
    return read.with_mistakes(inconsistencies(read, document))


def load(document: Document) -> Settings:
    """Return the settings that `document` describes.

    Raises `ConfigurationError` with one line for each mistake.
    """
    return load_draft(document).finished()


def load_section(document: Document, key: str, model: type[_Section]) -> _Section:
    """Return the section at `key` of `document`. Mistakes in other sections do not matter.

    So a command that needs one section does not need the secrets of other sections.
    Raises `ConfigurationError` with one line for each mistake in the section.
    """
    if unread := document.unread((key,)):
        raise ConfigurationError("\n".join(unread))
    section = document.at((key,))
    if section is None:
        raise ConfigurationError(document.mistake((key,), "is missing"))
    try:
        settings = model.model_validate(section)
    except ValidationError as error:
        found = problems(error, document, model, at=(key,))
        raise ConfigurationError("\n".join(each.line for each in found if not each.follows)) from None
    KNOWN.configure(secrets_in(settings))
    return settings
