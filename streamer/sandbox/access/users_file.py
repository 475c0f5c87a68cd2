"""File of users: a YAML mapping of their names to their credentials and permissions."""

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from streamer.sandbox.access.user import User
from streamer.validation import mistakes


def read_users(path: Path) -> tuple[User, ...]:
    """Return the users in a file; raises `OSError`, or `ValueError` with a sentence about each mistake.

    The sentences repeat no value of the file, because the file contains passwords.
    """
    entries = _mapping(path)
    users = tuple(_user(path, str(name), entry) for name, entry in entries.items())
    clients = [user.client_id for user in users if user.client_id is not None]
    twice = next((client for client in clients if clients.count(client) > 1), None)
    if twice is not None:
        raise ValueError(
            f"{path}: two users have the client_id {twice!r}: give each user a different client_id."
        )
    return users


def _mapping(path: Path) -> dict[Any, Any]:
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.MarkedYAMLError as error:
        place = f"line {error.problem_mark.line + 1}" if error.problem_mark else "the file"
        raise ValueError(f"{path}: {place} is not valid YAML: {error.problem}.") from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise ValueError(f"{path} is not a YAML file in UTF-8.") from None
    if isinstance(found, dict):
        return found
    raise ValueError(f"{path} must map user names to their permissions, such as `reader@acme.example: {{}}`.")


def _user(path: Path, name: str, entry: Any) -> User:
    if entry is not None and not isinstance(entry, dict):
        raise ValueError(f"{path}: {name} must be a mapping with keys such as `objects` and `hidden_fields`.")
    try:
        return User.model_validate({**(entry or {}), "username": name})
    except ValidationError as error:
        raise ValueError(f"{path}: {name}: {'; '.join(mistakes(error))}") from None
