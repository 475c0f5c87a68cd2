"""Files that a configuration names, and what can stand in their places."""

from pathlib import Path

import pytest

from streamer import regular_files
from streamer.clock import TurnedClock
from streamer.errors import ConfigurationError, LogMisconfigured
from streamer.log.kafka.cluster.clients import Clients
from streamer.log.kafka.cluster.errors import KafkaErrors
from streamer.salesforce.auth.refresh_token_file import RefreshTokenFile
from streamer.salesforce.pubsub.options import authorities
from streamer.settings import KafkaLogSettings
from streamer.web.tls import TlsFiles
from subscribers.http.tls import TargetTls
from tests.unfit_files import REASONS, unfit_file

pytestmark = [pytest.mark.parametrize("kind", REASONS), pytest.mark.timeout(300)]


@pytest.fixture
def unfit(tmp_path: Path, kind: str) -> Path:
    """A path that can't be read to an end."""
    return unfit_file(tmp_path / "unfit", kind)


def test_content_is_refused(unfit: Path, kind: str) -> None:
    """Nothing waits for a writer, and only the bound is read."""
    with pytest.raises(OSError, match=REASONS[kind]):
        regular_files.content(unfit)
    with pytest.raises(OSError, match=REASONS[kind]):
        regular_files.check(unfit)


def test_listener_refuses_it(unfit: Path, kind: str) -> None:
    """At the start, and when its certificate is renewed."""
    files = TlsFiles(section="outbound.tls", certificate_file=unfit, key_file=unfit)
    with pytest.raises(ConfigurationError, match=rf"outbound\.tls\.certificate_file: .*{REASONS[kind]}"):
        files.context()


async def test_target_refuses_it(unfit: Path, kind: str) -> None:
    """On its thread, which would wait for ever."""
    with pytest.raises(ConfigurationError, match=rf"ca_file .*{REASONS[kind]}"):
        await TargetTls(unfit, None, TurnedClock()).check()


def test_pubsub_refuses_it(unfit: Path, kind: str) -> None:
    """Before a channel is made."""
    with pytest.raises(ConfigurationError, match=rf"org\.pubsub\.ca_file: .*{REASONS[kind]}"):
        authorities(unfit)


@pytest.mark.parametrize("key", ["ca_file", "certificate_file", "key_file"])
def test_kafka_refuses_it(unfit: Path, kind: str, key: str) -> None:
    """OpenSSL would read it within librdkafka, where nothing can interrupt it."""
    security = {"protocol": "SSL", key: unfit}
    settings = KafkaLogSettings.model_validate({"bootstrap_servers": "localhost:1", "security": security})
    with pytest.raises(LogMisconfigured, match=rf"log\.kafka\.security\.{key}: .*{REASONS[kind]}"):
        Clients(settings=settings).admin(KafkaErrors(settings))


async def test_refresh_token_is_not_read_from_it(unfit: Path, kind: str) -> None:
    """The lock is kept meanwhile, so that all processes would wait."""
    file = RefreshTokenFile(path=unfit, configured="token", clock=TurnedClock())
    with pytest.raises(ConfigurationError, match=rf"{REASONS[kind]}.*org\.auth\.token_file"):
        await file.current()
