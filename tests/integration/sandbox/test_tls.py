"""`streamer sandbox --tls`: other projects' clients trust it with the printed settings."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.sandbox.command import Running, running_with_tls
from tests.waiting import LIMIT_S


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A sandbox over https, with what it printed at its start."""
    with running_with_tls(tmp_path_factory.mktemp("tls")) as process:
        yield process


def run(sandbox: Running, *command: str, trusting: str | None) -> subprocess.CompletedProcess[str]:
    """Run a client with one of the recipes, or with none."""
    recipe = {} if trusting is None else {trusting: sandbox.recipes[trusting]}
    return subprocess.run(
        command, env=os.environ | recipe, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )


@pytest.mark.parametrize(
    ("client", "variable", "received"),
    [
        ("simple-salesforce", "REQUESTS_CA_BUNDLE", "Berg\n"),
        ("aiosfstream", "SSL_CERT_FILE", "Account\n"),
    ],
)
def test_a_client_works_over_https(sandbox: Running, client: str, variable: str, received: str) -> None:
    """It needs the variable, and nothing else."""
    command = (sys.executable, "-m", "tests.integration.sandbox.https_client", client, sandbox.url)
    trusted = run(sandbox, *command, trusting=variable)
    assert (trusted.stdout, trusted.returncode) == (received, 0), trusted.stderr
    stranger = run(sandbox, *command, trusting=None)
    assert stranger.returncode == 1
    assert "certificate verify failed" in stranger.stderr.lower()


@pytest.mark.parametrize(
    ("command", "variable"),
    [
        (("curl", "--silent", "--show-error", "--fail"), "CURL_CA_BUNDLE"),
        (
            ("node", "-e", "fetch(process.argv[1]).then(a => a.text()).then(console.log)"),
            "NODE_EXTRA_CA_CERTS",
        ),
    ],
    ids=["curl", "node"],
)
def test_a_tool_works_over_https(sandbox: Running, command: tuple[str, ...], variable: str) -> None:
    """By the variable that is printed for it, and not without."""
    trusted = run(sandbox, *command, f"{sandbox.url}/services/data", trusting=variable)
    assert '"version"' in trusted.stdout, trusted.stderr
    assert run(sandbox, *command, f"{sandbox.url}/services/data", trusting=None).returncode != 0


def test_java_reads_the_trust_store(sandbox: Running) -> None:
    """As holding one authority that is trusted."""
    keytool = shutil.which("keytool")
    if keytool is None and os.environ.get("STREAMER_KAFKA"):
        pytest.skip("a machine with a broker of its own needs no Java")
    assert keytool is not None, "keytool comes with Java, which `make test` installs"
    store = Path(sandbox.recipes["SSL_CERT_FILE"]).with_name("ca.p12")
    command = [keytool, "-list", "-keystore", str(store), "-storepass", "changeit"]
    listed = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=True).stdout
    assert "streamer-sandbox" in listed
    assert "trustedCertEntry" in listed
