"""YAML reader that keeps the line of every key, and resolves `${ENV}` and `{file: …}`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from streamer import regular_files
from streamer.configuration.document import Document, Keys, dotted, fingerprint
from streamer.configuration.named_files import TableRefused, table_of_csv
from streamer.errors import ConfigurationError

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
_MAX_FILE_CHARACTERS = 1024 * 1024
_MAX_TABLE_CHARACTERS = 16 * 1024 * 1024
# Without a limit, ten anchors with ten aliases each give ten billion values.
_MOST_REPEATED = 50_000
_CSV = ".csv"
_STRUCTURED = frozenset({".yaml", ".yml", ".json"})
# Keys of a subscriber whose files hold no secret.
_EXPRESSIONS = frozenset({"when", "body", "text", "content"})

_BOOLEAN = "tag:yaml.org,2002:bool"
_TEXT = "tag:yaml.org,2002:str"
_MERGE = "tag:yaml.org,2002:merge"
_NOT_IN_1_2 = frozenset({"tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:value"})

_REPEATED = f"aliases repeat more than {_MOST_REPEATED:,} values: write these values out"

# PyYAML's own messages repeat the value, which can be a password.
_QUOTES_NEEDED = {
    "found undefined alias": "*",
    "found duplicate anchor": "&",
    "found undefined tag": "!",
    "could not determine a constructor": "!",
}


class Yaml12Words(yaml.resolver.Resolver):
    """Resolver for PyYAML that reads `on` and `no` as texts, as YAML 1.2 does."""

    def resolve(self, kind: type[yaml.Node], value: str | None, implicit: tuple[bool, bool] | bool) -> str:  # noqa: FBT001 - PyYAML's signature
        """Return the tag of an unquoted `value`; only true and false are booleans."""
        tag: str = super().resolve(kind, value, implicit)  # type: ignore[no-untyped-call] # the stubs leave it out
        is_word = tag == _BOOLEAN and str(value).lower() not in {"true", "false"}
        return _TEXT if is_word or tag in _NOT_IN_1_2 else tag


class _Loader(Yaml12Words, yaml.SafeLoader):
    """Loader of the configuration's files."""


def read_document(path: Path, environ: Mapping[str, str]) -> Document:
    """Read one file; each unreadable value becomes one of the document's mistakes.

    Raises `ConfigurationError` with file and line if the file as a whole is
    unreadable.
    """
    # The fingerprint is taken before the content, so that a write in between counts as a change.
    seen = fingerprint(path)
    try:
        text = regular_files.content_or_pipe(path).decode()
    except OSError as error:
        raise ConfigurationError(f"{path}: can't be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: is not UTF-8 text") from error
    try:
        reading = _Reading(path, environ, _Found(fingerprints={path: seen}))
        return reading.document(yaml.compose(text, Loader=_Loader))
    except yaml.MarkedYAMLError as error:
        # The error is not chained, because the original error repeats the text around the mistake.
        raise ConfigurationError(f"{path}:{_mistake(error, text)}") from None
    except yaml.YAMLError:
        raise ConfigurationError(f"{path}: is not YAML: it contains a control character") from None
    except RecursionError:
        raise ConfigurationError(f"{path}: is nested too deeply, or an anchor contains itself") from None
    except _RepeatedTooOften:
        raise ConfigurationError(f"{path}: {_REPEATED}") from None


def _mistake(error: yaml.MarkedYAMLError, text: str) -> str:
    line = error.problem_mark.line if error.problem_mark else 0
    if (opened := _open_quote(error, text)) is not None:
        return (
            f"{opened + 1}: is not YAML: a quote begins here and does not end in this line: close the quote"
        )
    problem = error.problem or "the file ends too early"
    for beginning, sign in _QUOTES_NEEDED.items():
        if problem.startswith(beginning):
            problem = f"a text that begins with {sign} needs quotes"
    # Between braces, YAML reads a variable's brace as a mapping.
    if "${" in "".join(text.split("\n")[line : line + 1]):
        problem += '; between { and } a variable needs quotes: "${NAME}"'
    if problem.endswith("but got '?'"):
        problem += "; between [ and ] or { and } a text with a ? needs quotes"
    return f"{line + 1}: is not YAML: {problem}"


def _open_quote(error: yaml.MarkedYAMLError, text: str) -> int | None:
    """Return the line of an unclosed quote, if the quote caused `error`."""
    if error.context == "while scanning a quoted scalar" and error.context_mark:
        return int(error.context_mark.line)
    last = None
    try:
        for token in yaml.scan(text, Loader=yaml.SafeLoader):
            if isinstance(token, yaml.ScalarToken) and token.style in {"'", '"'}:
                last = token
    except yaml.YAMLError:
        # The tokens before the mistake suffice.
        pass
    if last is None or error.problem_mark is None:
        return None
    is_long = last.start_mark.line < last.end_mark.line
    return int(last.start_mark.line) if is_long and last.end_mark.line >= error.problem_mark.line else None


@dataclass(slots=True, kw_only=True)
class _Found:
    """Collected parts of a document while its files are read."""

    fingerprints: dict[Path, str]
    places: dict[Keys, str] = field(default_factory=dict)
    indirect: set[Keys] = field(default_factory=set)
    files: dict[Keys, Path] = field(default_factory=dict)
    secret_files: dict[Keys, Path] = field(default_factory=dict)
    mistakes: dict[Keys, str] = field(default_factory=dict)
    seen: set[int] = field(default_factory=set)
    repeated: int = 0


class _RepeatedTooOften(Exception):
    """Aliases repeat more values than a configuration can need."""


class _Reading:
    """Converts the nodes of one file into data, and keeps their lines.

    `within` are the files that include this file, the outermost first.
    """

    def __init__(
        self, path: Path, environ: Mapping[str, str], found: _Found, within: tuple[Path, ...] = ()
    ) -> None:
        self._path = path
        self._environ = environ
        self._found = found
        self._within = within
        self._loader = _Loader("")

    def document(self, root: yaml.Node | None) -> Document:
        if root is None:
            raise ConfigurationError(f"{self._path}: is empty; it needs at least org and channels")
        if not isinstance(root, yaml.MappingNode):
            raise ConfigurationError(
                f"{self._path}: must be a mapping with org, channels, log and subscribers"
            )
        return Document(
            data=self.value(root, ()),
            places=self._found.places,
            indirect=frozenset(self._found.indirect),
            files=self._found.files,
            secret_files=self._found.secret_files,
            mistakes=self._found.mistakes,
            fingerprints=self._found.fingerprints,
            sources=(self._path.absolute(),),
        )

    def value(self, node: yaml.Node, keys: Keys) -> Any:
        self._count(node)
        self._found.places.setdefault(keys, self._place(node))
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, keys)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*keys, index)) for index, item in enumerate(node.value)]
        value = self._loader.construct_object(node)
        return self._with_variables(value, keys) if isinstance(value, str) else value

    def _count(self, node: yaml.Node) -> None:
        """Count a `node` that an alias repeats. Raises `_RepeatedTooOften`."""
        # The tree of nodes outlives this reading, so no two nodes share an id.
        if id(node) in self._found.seen:
            self._found.repeated += 1
            if self._found.repeated > _MOST_REPEATED:
                raise _RepeatedTooOften
        self._found.seen.add(id(node))

    def _mapping(self, node: yaml.MappingNode, keys: Keys) -> Any:
        data: dict[str, Any] = {}
        for key, (key_node, value_node) in self._pairs(node, keys).items():
            self._found.places[(*keys, key)] = self._place(key_node)
            data[key] = self.value(value_node, (*keys, key))
        if data.keys() == {"file"} and isinstance(data["file"], str):
            return self._content(data["file"], keys)
        return data

    def _pairs(self, node: yaml.MappingNode, keys: Keys) -> dict[str, tuple[yaml.Node, yaml.Node]]:
        """Return the pairs of `node`, which override the pairs merged by `<<`."""
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
        for each in mappings:
            self._count(each)
        if len(mappings) < len(nodes):
            self._note((*keys, "<<"), f"{self._place(node)}: << needs a mapping, or a list of mappings")
        return mappings

    def _place(self, node: yaml.Node) -> str:
        return f"{self._path}:{node.start_mark.line + 1}"

    def _content(self, name: str, keys: Keys) -> Any:
        """Return the content of the file `name`: an expression, a template, a table or a secret."""
        path = self._path.parent / name
        self._found.fingerprints[path] = fingerprint(path)
        match keys:
            case ("tables", _):
                return self._table(path, keys)
            case ("subscribers", _, "body", *_) if path.suffix in _STRUCTURED:
                return self._structured(path, keys)
            case ("subscribers", _, str() as key, *_) if key in _EXPRESSIONS:
                self._found.files[keys] = path
            case _:
                self._found.indirect.add(keys)
                self._found.secret_files[keys] = path
        content = self._text(path, keys)
        return "" if content is None else content.removesuffix("\n")

    def _text(self, path: Path, keys: Keys, *, most: int = _MAX_FILE_CHARACTERS) -> str | None:
        """Return the text of a file, or `None` after a mistake."""
        try:
            # A quoted value in CSV can contain line breaks.
            newline = "" if path.suffix == _CSV else None
            with open(path, encoding="utf-8-sig", newline=newline, opener=regular_files.opened) as file:
                content = file.read(most + 1)
        except OSError as error:
            self._unread(keys, f"{path}: {error.strerror}")
            return None
        except ValueError:
            self._unread(keys, f"{path}: is not UTF-8 text")
            return None
        if len(content) > most:
            what = "the limit for a secret" if keys in self._found.indirect else f"{most:,} characters"
            self._unread(keys, f"{path}: is larger than {what}")
            return None
        return content

    def _table(self, path: Path, keys: Keys) -> Any:
        """Return the values by key in a CSV or YAML file."""
        self._found.files[keys] = path
        if path.suffix in _STRUCTURED:
            # An expression can name an unreadable table.
            return self._structured(path, keys) or {}
        if path.suffix != _CSV:
            self._unread(keys, f"{path}: must be a .csv or .yaml file")
            return {}
        content = self._text(path, keys, most=_MAX_TABLE_CHARACTERS)
        try:
            return {} if content is None else table_of_csv(content)
        except TableRefused as error:
            self._note(keys, f"{path}:{error.line}: {dotted(keys)}: {error}")
            return {}

    def _structured(self, path: Path, keys: Keys) -> Any:
        """Return the data of a YAML file that is included at `keys`; record the lines of the file's parts."""
        within = (*self._within, self._path)
        if path.resolve() in {each.resolve() for each in within}:
            return self._unread(keys, f"{path}: includes itself, directly or through another file")
        content = self._text(path, keys)
        if content is None:
            return ""
        try:
            root = yaml.compose(content, Loader=_Loader)
            if root is None:
                return self._unread(keys, f"{path}: is empty")
            self._found.places[keys] = f"{path}:{root.start_mark.line + 1}"
            return _Reading(path, self._environ, self._found, within).value(root, keys)
        except yaml.MarkedYAMLError as error:
            self._note(keys, f"{path}:{_mistake(error, content)}")
        except yaml.YAMLError:
            self._note(keys, f"{path}: is not YAML: it contains a control character")
        except RecursionError:
            self._note(keys, f"{path}: is nested too deeply, or an anchor contains itself")
        return ""

    def _with_variables(self, text: str, keys: Keys) -> str:
        missing: list[str] = []

        def resolved(match: re.Match[str]) -> str:
            name, default = match.groups()
            self._found.indirect.add(keys)
            value = self._environ.get(name, default)
            if value is None:
                missing.append(name)
            return value or ""

        whole = _VARIABLE.sub(resolved, text)
        if not missing:
            return whole
        # Each name appears once, in the order of the text.
        names = list(dict.fromkeys(missing))
        what = f"set it, or write ${{{names[0]}:-default}}" if len(names) == 1 else "set these variables"
        return self._unread(
            keys, f"the environment has no variable {' and no variable '.join(names)}; {what}"
        )

    def _unread(self, keys: Keys, sentence: str) -> str:
        self._note(keys, f"{self._found.places[keys]}: {dotted(keys)}: {sentence}")
        return ""

    def _note(self, keys: Keys, line: str) -> None:
        noted = self._found.mistakes.get(keys)
        self._found.mistakes[keys] = line if noted in {None, line} else f"{noted}\n{line}"
