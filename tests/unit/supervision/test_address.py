"""The address of the probes, and how the image's health check finds it."""

from pathlib import Path

import pytest

from streamer.supervision.endpoint import announced, default_host


@pytest.mark.parametrize("name", ["STREAMER_CONTAINER", "KUBERNETES_SERVICE_HOST"])
def test_probes_come_from_outside_a_container(name: str) -> None:
    """The kubelet and Prometheus connect to the pod's address."""
    assert default_host({name: "1"}, marks=()) == "0.0.0.0"


def test_mark_of_docker_is_enough(tmp_path: Path) -> None:
    """An image of somebody's own need not set a variable."""
    mark = tmp_path / ".dockerenv"
    mark.touch()

    assert default_host({}, marks=(mark,)) == "0.0.0.0"


def test_metrics_of_a_machine_are_its_own() -> None:
    """Nobody in the network reads the names of an org's channels by default."""
    assert default_host({}, marks=()) == "127.0.0.1"


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("0.0.0.0", "http://localhost:9464"),
        ("::", "http://localhost:9464"),
        ("::1", "http://[::1]:9464"),
        ("10.0.0.7", "http://10.0.0.7:9464"),
    ],
)
def test_health_check_is_told_an_address_that_it_can_connect_to(tmp_path: Path, host: str, url: str) -> None:
    """The file is there for as long as the probes are."""
    file = tmp_path / "address"
    with announced(host, 9464, {"STREAMER_ADDRESS_FILE": str(file)}):
        assert file.read_text() == url

    assert not file.exists()


def test_nothing_is_written_where_no_file_is_named() -> None:
    """Only the image names one."""
    with announced("0.0.0.0", 9464, {}):
        pass
