"""YAML with the line of every key, `${ENV}` and `{file: …}` resolved."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from streamer.errors import ConfigurationError

Keys = tuple[int | str, ...]

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
_SECRET_KEY = re.compile(r"secret|password|token|webhook|(^|_)key$", re.IGNORECASE)
_MAX_FILE_BYTES = 1024 * 1024


_BOOLEAN = "tag:yaml.org,2002:bool"
_TEXT = "tag:yaml.org,2002:str"


class _Loader(yaml.SafeLoader):
    """YAML 1.1 as PyYAML reads it, but `on` is a key and `no` is a country, as in YAML 1.2."""

    def resolve(self, kind: type[yaml.Node], value: str | None, implicit: tuple[bool, bool] | bool) -> str:  # noqa: FBT001 - PyYAML's signature
        """Return the tag of a plain `value`, booleans being true and false alone."""
        tag: str = super().resolve(kind, value, implicit)  # type: ignore[no-untyped-call]
        if tag == _BOOLEAN and str(value).lower() not in {"true", "false"}:
            return _TEXT
        return tag


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """Plain data and where each part of it was written."""

    data: Any
    places: Mapping[Keys, str] = field(default_factory=dict)
    indirect: frozenset[Keys] = frozenset()

    def at(self, keys: Sequence[int | str]) -> Any:
        """Return what stands at `keys`, or `None`."""
        data = self.data
        for key in keys:
            try:
                data = data[key]
            except (KeyError, IndexError, TypeError):
                return None
        return data

    def place(self, keys: Sequence[int | str]) -> str:
        """Return `file:line` of `keys`, or of the nearest thing around it."""
        for length in range(len(keys), -1, -1):
            if place := self.places.get(tuple(keys[:length])):
                return place
        return "configuration"

    def is_secret(self, keys: Sequence[int | str]) -> bool:
        """Whether what stands at `keys` came from elsewhere, or has the name of a secret."""
        return tuple(keys) in self.indirect or any(_SECRET_KEY.search(str(key)) for key in keys[-1:])

    @staticmethod
    def merged(documents: Sequence["Document"]) -> "Document":
        """Return `documents` laid over each other, the last on top."""
        data: Any = {}
        places: dict[Keys, str] = {}
        indirect: set[Keys] = set()
        for document in documents:
            data = _merge(data, document.data)
            places |= document.places
            indirect |= document.indirect
        return Document(data=data, places=places, indirect=frozenset(indirect))


def read_document(path: Path, environ: Mapping[str, str]) -> Document:
    """Read one file. Raises `ConfigurationError` that names the file and the line."""
    try:
        text = path.read_text(encoding="utf-8")
        root = yaml.compose(text, Loader=_Loader)
    except OSError as error:
        raise ConfigurationError(f"{path}: can't be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: is not UTF-8 text") from error
    except yaml.MarkedYAMLError as error:
        raise ConfigurationError(f"{path}:{_mistake(error, text)}") from error
    if root is None:
        raise ConfigurationError(f"{path}: is empty; it needs at least org and channels")
    if not isinstance(root, yaml.MappingNode):
        raise ConfigurationError(f"{path}: must be a mapping that holds org, channels, log and subscribers")
    reading = _Reading(path, environ)
    return Document(data=reading.value(root, ()), places=reading.places, indirect=frozenset(reading.indirect))


def _mistake(error: yaml.MarkedYAMLError, text: str) -> str:
    line = error.problem_mark.line if error.problem_mark else 0
    sentence = f"{line + 1}: is not YAML: {error.problem}"
    if "${" in text.splitlines()[line]:
        # The brace of a variable opens a mapping where YAML is between braces.
        sentence += '; between { and } a variable needs quotes: "${NAME}"'
    return sentence


class _Reading:
    """Turns the nodes of one file into data, keeping their lines."""

    def __init__(self, path: Path, environ: Mapping[str, str]) -> None:
        self._path = path
        self._environ = environ
        self._loader = _Loader("")
        self.places: dict[Keys, str] = {}
        self.indirect: set[Keys] = set()

    def value(self, node: yaml.Node, keys: Keys) -> Any:
        self.places.setdefault(keys, f"{self._path}:{node.start_mark.line + 1}")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, keys)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*keys, index)) for index, item in enumerate(node.value)]
        value = self._loader.construct_object(node)
        return self._with_variables(value, keys) if isinstance(value, str) else value

    def _mapping(self, node: yaml.MappingNode, keys: Keys) -> Any:
        self._loader.flatten_mapping(node)
        data: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            key = self._loader.construct_object(key_node)
            if key in data:
                raise ConfigurationError(
                    f"{self._path}:{key_node.start_mark.line + 1}: {key}: stands here twice"
                )
            self.places[(*keys, key)] = f"{self._path}:{key_node.start_mark.line + 1}"
            data[key] = self.value(value_node, (*keys, key))
        if data.keys() == {"file"}:
            return self._content(data["file"], keys)
        return data

    def _content(self, name: Any, keys: Keys) -> str:
        self.indirect.add(keys)
        path = self._path.parent / str(name)
        try:
            with path.open(encoding="utf-8") as file:
                content = file.read(_MAX_FILE_BYTES)
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "is not text"
            raise ConfigurationError(f"{self.places[keys]}: {_dotted(keys)}: {path}: {reason}") from error
        return content.removesuffix("\n")

    def _with_variables(self, text: str, keys: Keys) -> str:
        def resolved(match: re.Match[str]) -> str:
            name, default = match.groups()
            self.indirect.add(keys)
            value = self._environ.get(name, default)
            if value is None:
                raise ConfigurationError(
                    f"{self.places[keys]}: {_dotted(keys)}: the environment has no {name}; "
                    f"set it, or write ${{{name}:-default}}"
                )
            return value

        return _VARIABLE.sub(resolved, text)


def _merge(below: Any, above: Any) -> Any:
    if isinstance(below, dict) and isinstance(above, dict):
        return {**below, **{key: _merge(below.get(key), value) for key, value in above.items()}}
    return above


def _dotted(keys: Keys) -> str:
    return ".".join(map(str, keys))
