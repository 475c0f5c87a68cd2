"""Web console of the demo in the browser of a desktop."""

import subprocess
import sys
from collections.abc import Mapping

# Variables that show that no person sees a browser: services for builds and tests set them, and remote
# shells.
_NO_PERSON = ("CI", "TF_BUILD", "JENKINS_URL", "TEAMCITY_VERSION", "SSH_CONNECTION", "SSH_CLIENT", "SSH_TTY")
_UNSET = ("", "0", "false")
_DISPLAYS = ("DISPLAY", "WAYLAND_DISPLAY")
_ALWAYS_DISPLAYED = ("darwin", "win32")


def has_desktop(environ: Mapping[str, str], *, is_terminal: bool, platform: str = sys.platform) -> bool:
    """Return true if a person at this machine can see a browser."""
    if not is_terminal or any(environ.get(name, "") not in _UNSET for name in _NO_PERSON):
        return False
    return platform in _ALWAYS_DISPLAYED or any(environ.get(name) for name in _DISPLAYS)


def open_browser(url: str) -> "subprocess.Popen[bytes]":
    """Open `url` in the preferred browser, and return the process that does so.

    The process has no terminal. So messages of a browser do not disturb the picture,
    and a browser for terminals does not take over the terminal.
    """
    return subprocess.Popen(  # noqa: S603 - our own program and our own address
        [sys.executable, "-m", "webbrowser", url],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
