"""Ports that servers of tests are given."""

import subprocess
import sys

from tools import ports
from tools.ports import free_ports


def test_port_is_not_given_to_another_process_though_nobody_listens() -> None:
    """A broker that has yet to start, or is down for a moment, finds its port free."""
    given = free_ports(3)
    script = f"from tools import ports; print([ports._hold(port) for port in {given}])"
    said = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)

    assert said.stdout.strip() == "[False, False, False]"


def test_port_is_given_once() -> None:
    """Two servers of one process never meet, whichever starts first."""
    given = free_ports(20)

    assert len(set(given)) == 20
    assert not any(ports._hold(port) for port in given)
