"""Real Prometheus on loopback, with promtool, for tests."""

import json
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import urlopen

from tools.ports import free_ports

_READY_S = 30.0
_LOOK_S = 0.05
_ANSWER_S = 30.0


class PrometheusFailed(Exception):
    """Prometheus does not start; the message contains its output."""


def is_installed() -> bool:
    """Return true if Prometheus and promtool are installed."""
    return bool(shutil.which("prometheus") and shutil.which("promtool"))


def promtool(*arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run promtool in `folder`. Raises `PrometheusFailed` if promtool is not installed."""
    program = shutil.which("promtool")
    if program is None:
        raise PrometheusFailed("promtool is not installed: python -m tools.system_packages")
    return subprocess.run(
        [program, *arguments], check=False, capture_output=True, text=True, cwd=folder, timeout=240
    )


class Prometheus:
    """Prometheus with the configuration `settings`, and its data in `folder`."""

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        [self.port] = free_ports(1)
        self._folder = folder
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def range(
        self, expression: str, *, start: float, end: float, step_s: float = 1.0
    ) -> list[dict[str, Any]]:
        """Return the series of `expression` between two times in epoch seconds. Raises `URLError`."""
        query = {"query": expression, "start": start, "end": end, "step": step_s}
        found: list[dict[str, Any]] = self._get("query_range", query)["result"]
        return found

    def _get(self, path: str, query: Mapping[str, object]) -> Any:
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urlencode(query)}"
        with urlopen(url, timeout=_ANSWER_S) as answer:
            return json.load(answer)["data"]

    def _start(self) -> None:
        program = shutil.which("prometheus")
        if program is None:
            raise PrometheusFailed("Prometheus is not installed: python -m tools.system_packages")
        config, output = self._folder / "prometheus.yml", self._folder / "prometheus.log"
        # JSON is YAML.
        config.write_text(json.dumps(self._settings), encoding="utf-8")
        with output.open("wb") as file:
            self._process = subprocess.Popen([program, *self._arguments(config)], stdout=file, stderr=file)
        until = time.monotonic() + _READY_S
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > until:
                raise PrometheusFailed(output.read_text(errors="replace"))
            time.sleep(_LOOK_S)

    def _arguments(self, config: Path) -> Sequence[str]:
        return (
            f"--config.file={config}",
            f"--storage.tsdb.path={self._folder / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--log.level=warn",
        )

    def _is_ready(self) -> bool:
        try:
            with urlopen(f"http://127.0.0.1:{self.port}/-/ready", timeout=1):
                return True
        except (URLError, OSError):
            return False
