"""YAML reader: keeps the line of every key, and resolves `${ENV}` and `{file: …}`."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from streamer.configuration.document import Document, Keys, dotted
from streamer.configuration.fingerprint import fingerprint
from streamer.errors import ConfigurationError

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
_MAX_FILE_CHARACTERS = 1024 * 1024

_BOOLEAN = "tag:yaml.org,2002:bool"
_TEXT = "tag:yaml.org,2002:str"
_MERGE = "tag:yaml.org,2002:merge"
_NOT_IN_1_2 = frozenset({"tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:value"})

# PyYAML's own sentences repeat the value, which can be a password.
_QUOTES_NEEDED = {
    "found undefined alias": "*",
    "found duplicate anchor": "&",
    "found undefined tag": "!",
    "could not determine a constructor": "!",
}


class Yaml12Words(yaml.resolver.Resolver):
    """Resolver of PyYAML's YAML 1.1, in which `on` and `no` are texts, as in YAML 1.2."""

    def resolve(self, kind: type[yaml.Node], value: str | None, implicit: tuple[bool, bool] | bool) -> str:  # noqa: FBT001 - PyYAML's signature
        """Return the tag of a plain `value`; only true and false are booleans."""
        tag: str = super().resolve(kind, value, implicit)  # type: ignore[no-untyped-call] # the stubs leave it out
        is_word = tag == _BOOLEAN and str(value).lower() not in {"true", "false"}
        return _TEXT if is_word or tag in _NOT_IN_1_2 else tag


class _Loader(Yaml12Words, yaml.SafeLoader):
    """Loader of the configuration's files."""


def read_document(path: Path, environ: Mapping[str, str]) -> Document:
    """Read one file; values that can't be read are mistakes of the document.

    Raises `ConfigurationError`, which names the file and the line, when the
    whole file can't be read.
    """
    # Taken before the content, so that a write in between counts as a change.
    seen = fingerprint(path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"{path}: can't be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: is not UTF-8 text") from error
    try:
        reading = _Reading(path, environ, {path: seen})
        return reading.document(yaml.compose(text, Loader=_Loader))
    except yaml.MarkedYAMLError as error:
        # Not chained: the original error repeats the text around the mistake.
        raise ConfigurationError(f"{path}:{_mistake(error, text)}") from None
    except yaml.YAMLError:
        raise ConfigurationError(f"{path}: is not YAML: it contains a control character") from None
    except RecursionError:
        raise ConfigurationError(f"{path}: is nested too deeply, or an anchor contains itself") from None


def _mistake(error: yaml.MarkedYAMLError, text: str) -> str:
    line = error.problem_mark.line if error.problem_mark else 0
    problem = error.problem or "it ends too soon"
    for beginning, sign in _QUOTES_NEEDED.items():
        if problem.startswith(beginning):
            problem = f"a text that begins with {sign} needs quotes"
    # Between braces, YAML takes the brace of a variable for a mapping.
    if "${" in "".join(text.split("\n")[line : line + 1]):
        problem += '; between { and } a variable needs quotes: "${NAME}"'
    if problem.endswith("but got '?'"):
        problem += "; between [ and ] or { and } a text with a ? needs quotes"
    return f"{line + 1}: is not YAML: {problem}"


class _Reading:
    """Turns the nodes of one file into data, and keeps their lines."""

    def __init__(self, path: Path, environ: Mapping[str, str], fingerprints: dict[Path, str]) -> None:
        self._path = path
        self._fingerprints = fingerprints
        self._environ = environ
        self._loader = _Loader("")
        self.places: dict[Keys, str] = {}
        self.indirect: set[Keys] = set()
        self.mistakes: dict[Keys, str] = {}

    def document(self, root: yaml.Node | None) -> Document:
        if root is None:
            raise ConfigurationError(f"{self._path}: is empty; it needs at least org and channels")
        if not isinstance(root, yaml.MappingNode):
            raise ConfigurationError(
                f"{self._path}: must be a mapping with org, channels, log and subscribers"
            )
        return Document(
            data=self.value(root, ()),
            places=self.places,
            indirect=frozenset(self.indirect),
            mistakes=self.mistakes,
            fingerprints=self._fingerprints,
        )

    def value(self, node: yaml.Node, keys: Keys) -> Any:
        self.places.setdefault(keys, self._place(node))
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, keys)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*keys, index)) for index, item in enumerate(node.value)]
        value = self._loader.construct_object(node)
        return self._with_variables(value, keys) if isinstance(value, str) else value

    def _mapping(self, node: yaml.MappingNode, keys: Keys) -> Any:
        data: dict[str, Any] = {}
        for key, (key_node, value_node) in self._pairs(node, keys).items():
            self.places[(*keys, key)] = self._place(key_node)
            data[key] = self.value(value_node, (*keys, key))
        if data.keys() == {"file"} and isinstance(data["file"], str):
            return self._content(data["file"], keys)
        return data

    def _pairs(self, node: yaml.MappingNode, keys: Keys) -> dict[str, tuple[yaml.Node, yaml.Node]]:
        """Return the pairs of `node` itself, over those that it merges by `<<`."""
        own: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        merged: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        for key_node, value_node in node.value:
            if key_node.tag == _MERGE:
                for source in self._sources(value_node, keys):
                    merged = self._pairs(source, keys) | merged
            elif not isinstance(key_node, yaml.ScalarNode):
                place = self._place(key_node)
                self._note((*keys, place), f"{place}: a key must be a text")
            elif key_node.value in own:
                at = (*keys, key_node.value)
                self._note(at, f"{self._place(key_node)}: {dotted(at)}: is set twice")
            else:
                own[key_node.value] = key_node, value_node
        return merged | own

    def _sources(self, node: yaml.Node, keys: Keys) -> list[yaml.MappingNode]:
        nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
        mappings = [each for each in nodes if isinstance(each, yaml.MappingNode)]
        if len(mappings) < len(nodes):
            self._note((*keys, "<<"), f"{self._place(node)}: << needs a mapping, or a list of them")
        return mappings

    def _place(self, node: yaml.Node) -> str:
        return f"{self._path}:{node.start_mark.line + 1}"

    def _content(self, name: str, keys: Keys) -> str:
        self.indirect.add(keys)
        path = self._path.parent / name
        self._fingerprints[path] = fingerprint(path)
        try:
            with path.open(encoding="utf-8") as file:
                content = file.read(_MAX_FILE_CHARACTERS + 1)
        except OSError as error:
            return self._unread(keys, f"{path}: {error.strerror}")
        except ValueError:
            return self._unread(keys, f"{path}: is not UTF-8 text")
        if len(content) > _MAX_FILE_CHARACTERS:
            return self._unread(keys, f"{path}: is larger than a secret can be")
        return content.removesuffix("\n")

    def _with_variables(self, text: str, keys: Keys) -> str:
        missing: list[str] = []

        def resolved(match: re.Match[str]) -> str:
            name, default = match.groups()
            self.indirect.add(keys)
            value = self._environ.get(name, default)
            if value is None:
                missing.append(name)
            return value or ""

        whole = _VARIABLE.sub(resolved, text)
        if not missing:
            return whole
        # Each name once, in the order of the text.
        names = list(dict.fromkeys(missing))
        what = f"set it, or write ${{{names[0]}:-default}}" if len(names) == 1 else "set them"
        return self._unread(keys, f"the environment has no {' and no '.join(names)}; {what}")

    def _unread(self, keys: Keys, sentence: str) -> str:
        self._note(keys, f"{self.places[keys]}: {dotted(keys)}: {sentence}")
        return ""

    def _note(self, keys: Keys, line: str) -> None:
        noted = self.mistakes.get(keys)
        self.mistakes[keys] = line if noted in {None, line} else f"{noted}\n{line}"
