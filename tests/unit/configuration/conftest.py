"""Files as operators write them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from streamer.configuration import load, load_document
from streamer.errors import ConfigurationError

Write = Callable[[str], Path]

GOOD = """\
org:
  login_url: https://acme.my.salesforce.com
  auth: {flow: client_credentials, client_id: app, client_secret: sesame}
channels: [/data/ChangeEvents]
subscribers:
  sales:
    uses: slack
    on: salesforce.cdc.Opportunity.updated
"""


def told_of(path: Path) -> str:
    """Return the mistakes of a file without their place, and nothing for a good one."""
    try:
        load(load_document([path], {}))
    except ConfigurationError as error:
        return str(error).replace(f"{path}:", "")
    return ""


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a configuration file, `streamer.yaml` where no other has that name."""

    def written(text: str) -> Path:
        path = tmp_path / f"streamer{len(list(tmp_path.glob('*.yaml'))) or ''}.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return written
