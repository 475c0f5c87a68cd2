"""Files as operators write them."""

from collections.abc import Callable
from pathlib import Path

import pytest

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


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a configuration file, `streamer.yaml` where no other has that name."""

    def written(text: str) -> Path:
        path = tmp_path / f"streamer{len(list(tmp_path.glob('*.yaml'))) or ''}.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return written
