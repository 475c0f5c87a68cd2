"""The demo opens a browser only where a person sees it."""

import pytest

from streamer.cli.demo.display import has_desktop

DESKTOP = {"DISPLAY": ":0"}


@pytest.mark.parametrize(
    ("environ", "platform"),
    [
        (DESKTOP, "linux"),
        ({"WAYLAND_DISPLAY": "wayland-0"}, "linux"),
        (DESKTOP | {"CI": "false"}, "linux"),
        ({}, "darwin"),
    ],
)
def test_person_at_a_desktop_gets_the_browser(environ: dict[str, str], platform: str) -> None:
    """If the output is a terminal."""
    assert has_desktop(environ, is_terminal=True, platform=platform)
    assert not has_desktop(environ, is_terminal=False, platform=platform)


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"DISPLAY": ""},
        DESKTOP | {"CI": "true"},
        DESKTOP | {"TF_BUILD": "True"},
        DESKTOP | {"SSH_CONNECTION": "192.0.2.1 50000 192.0.2.2 22"},
        DESKTOP | {"SSH_TTY": "/dev/pts/0"},
    ],
)
def test_no_browser_opens_without_a_person(environ: dict[str, str]) -> None:
    """In continuous integration, over SSH, or without a display."""
    assert not has_desktop(environ, is_terminal=True, platform="linux")


def test_no_browser_opens_over_ssh_on_a_mac() -> None:
    """The Mac has a display, but the person is elsewhere."""
    assert not has_desktop({"SSH_CLIENT": "192.0.2.1 50000 22"}, is_terminal=True, platform="darwin")
