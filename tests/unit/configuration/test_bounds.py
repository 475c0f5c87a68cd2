"""Files that would keep the reader busy or waiting for ever."""

import os
import time
from pathlib import Path

import pytest

from streamer.configuration import load_document
from streamer.errors import ConfigurationError

_LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]\n" for level in range(1, 10)
)
_MERGES = "a0: &a0 {x: 1}\n" + "".join(
    f"a{level}: &a{level} {{<<: [{', '.join([f'*a{level - 1}'] * 10)}]}}\n" for level in range(1, 10)
)


def _written(directory: Path, text: str) -> Path:
    path = directory / "streamer.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("text", [_LAUGHS, _MERGES])
def test_aliases_that_stand_for_billions_are_refused_at_once(tmp_path: Path, text: str) -> None:
    """Ten lines would take minutes at each reload."""
    began = time.process_time()
    with pytest.raises(ConfigurationError, match=r"streamer\.yaml: aliases repeat more than"):
        load_document([_written(tmp_path, text)], {})

    assert time.process_time() - began < 10


def test_bomb_in_a_named_file_is_refused_too(tmp_path: Path) -> None:
    """A body of its own is YAML as well."""
    (tmp_path / "body.yaml").write_text(_LAUGHS)
    named = "subscribers: {target: {body: {file: body.yaml}}}"
    with pytest.raises(ConfigurationError, match="aliases repeat more than"):
        load_document([_written(tmp_path, named)], {})


def test_usual_aliases_are_read(tmp_path: Path) -> None:
    """One anchor that a hundred subscribers repeat."""
    lines = ["common: &common {retry: {a: 1, b: 2}, on: ['x', 'y']}", "subscribers:"]
    lines += [f"  s{number}: {{<<: *common, n: *common}}" for number in range(100)]

    document = load_document([_written(tmp_path, "\n".join(lines))], {})

    assert document.at(("subscribers", "s99", "retry", "b")) == 2


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_pipe_or_device_is_no_secret(tmp_path: Path, kind: str) -> None:
    """Nobody writes into the pipe, and the device has no end."""
    name = tmp_path / "secret"
    if kind == "pipe":
        os.mkfifo(name)
    else:
        name.symlink_to("/dev/zero")
    document = load_document([_written(tmp_path, "org: {id: {file: secret}}")], {})

    [mistake] = document.mistakes.values()
    assert "secret: not a regular file, but a pipe or a device" in mistake


def test_links_of_kubernetes_are_followed(tmp_path: Path) -> None:
    """A mounted secret is a link to a link."""
    (tmp_path / "..2026").mkdir()
    (tmp_path / "..2026" / "secret").write_text("value\n")
    (tmp_path / "..data").symlink_to("..2026")
    (tmp_path / "secret").symlink_to("..data/secret")

    document = load_document([_written(tmp_path, "org: {id: {file: secret}}")], {})

    assert document.at(("org", "id")) == "value"


def test_file_without_an_end_is_read_to_its_bound(tmp_path: Path) -> None:
    """A sparse file of a terabyte is neither read nor hashed whole."""
    with (tmp_path / "secret").open("wb") as file:
        file.truncate(2**40)
    document = load_document([_written(tmp_path, "org: {id: {file: secret}}")], {})

    [mistake] = document.mistakes.values()
    assert "is larger than the limit for a secret" in mistake
