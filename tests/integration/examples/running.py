"""An example as a daemon in this process, on the sandbox's org and a file."""

import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import yaml
from jsonschema import Draft7Validator

from streamer.app.daemon import App
from streamer.configuration import Document, load_document
from streamer.configuration.reading import Yaml12Words
from streamer.events import JsonObject
from streamer.sandbox import Sandbox
from tests.in_process import serving

FOLDER = Path(__file__).parents[3] / "config" / "examples"
CREDENTIALS = {"SF_CLIENT_ID": "sandbox", "SF_CLIENT_SECRET": "sandbox-secret"}


class _Loader(Yaml12Words, yaml.SafeLoader):
    """Loader of an editor, which leaves variables as they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One file of the folder.

    It runs with `first_delay_s` in the `retry` of each subscriber, if that is set.
    """

    name: str
    first_delay_s: float | None = None

    def document(self, environ: Mapping[str, str], **more: object) -> Document:
        """Return the example as it is, with other values for some keys."""
        document = load_document([FOLDER / self.name], CREDENTIALS | dict(environ))
        return replace(document, data=document.data | more)

    def schema_mistakes(self) -> list[str]:
        """Return what an editor would show by the schema that the first line names."""
        text = (FOLDER / self.name).read_text(encoding="utf-8")
        [named] = re.findall(r"\A# yaml-language-server: \$schema=(\S+)\n", text)
        schema = json.loads((FOLDER / named).read_text(encoding="utf-8"))
        whole = json.loads(json.dumps(yaml.load(text, _Loader)))  # noqa: S506 - a safe loader
        return [each.message for each in Draft7Validator(schema).iter_errors(whole)]

    @asynccontextmanager
    async def running(self, sandbox: Sandbox, folder: Path, **environ: str) -> AsyncIterator[App]:
        """Run it on the org of `sandbox`, with its log in `folder`, from the time when it is ready."""
        environ = {"SF_LOGIN_URL": sandbox.url} | environ
        data = self.document(environ).data
        document = self.document(
            environ,
            org=data["org"] | {"transport": "cometd"},
            subscribers=self._hurried(data.get("subscribers", {})),
            log={"sqlite": {"path": str(folder / "log.db")}},
            observe={"host": "localhost", "port": 0},
            admin=None,
        )
        async with serving(document) as daemon:
            yield daemon

    def _hurried(self, subscribers: JsonObject) -> JsonObject:
        if self.first_delay_s is None:
            return subscribers
        delay = {"first_delay_s": self.first_delay_s}
        return {name: each | {"retry": each.get("retry", {}) | delay} for name, each in subscribers.items()}


def bytes_in(folder: Path) -> bytes:
    """Return all bytes of the log in `folder`, those of events that are gone included."""
    return b"".join(path.read_bytes() for path in folder.glob("log.db*"))
