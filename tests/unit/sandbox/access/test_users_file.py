"""The file of users."""

from pathlib import Path

import pytest

from streamer.sandbox.access.users_file import read_users


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the file is."""
    return tmp_path / "users.yaml"


def test_users_are_read(file: Path) -> None:
    """Each name has its permissions, or none of them."""
    file.write_text("reader@acme.example:\n  objects: {Account: [read]}\nboss@acme.example:\n")
    reader, boss = read_users(file)
    assert (reader.username, reader.is_restricted, boss.is_restricted) == ("reader@acme.example", True, False)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a: {password: hunter2, objects: {A: [fly]}}", r"a: objects\.A\.0: must be 'read', 'create'"),
        ("a: [hunter2", "line 1 is not valid YAML"),
        ("- hunter2", "must map user names"),
        ("a: hunter2", "a must be a mapping with keys"),
        ("a: &x {client_id: c, client_secret: hunter2}\nb: *x", "two users have the client_id 'c'"),
        ("a: {client_id: c, client_sekret: hunter2}", "client_sekret: no such key"),
    ],
)
def test_a_mistake_is_named_without_a_secret(file: Path, text: str, sentence: str) -> None:
    """The file, the user and the key are named, the values are not."""
    file.write_text(text)
    with pytest.raises(ValueError, match=sentence) as caught:
        read_users(file)
    assert "users.yaml" in str(caught.value)
    assert "hunter2" not in str(caught.value)
