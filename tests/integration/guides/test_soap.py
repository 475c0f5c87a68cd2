"""The settings and the envelope that docs/targets.md shows reach an ERP over SOAP."""

import re
from typing import Any

import pytest
import yaml

from streamer.clock import TurnedClock
from streamer.events import Delivered
from streamer.sandbox.targets import SoapErpReceiver
from subscribers.erp import Erp
from tests.deliveries import context, delivery
from tests.integration.guides.pages import page

GUIDE = page("docs/targets.md").partition("## An ERP over SOAP")[2].partition("\n## ")[0]
[SETTINGS] = re.findall(r"^```yaml\n(.*?)^```", GUIDE, flags=re.DOTALL | re.MULTILINE)
[ENVELOPE] = re.findall(r"^```xml\n(.*?)^```", GUIDE, flags=re.DOTALL | re.MULTILINE)
BODY = {"Reference": "A & B", "Amount": 1}


def shown(erp: SoapErpReceiver) -> dict[str, Any]:
    """Return the settings of the guide, with the address of `erp`."""
    text = SETTINGS.replace("https://erp.acme.internal/soap/invoices", erp.service_url)
    return dict(yaml.safe_load(text.replace("${ERP_PASSWORD}", "invented"))["settings"])


@pytest.mark.parametrize("form", ["as it stands", "with the envelope"])
async def test_settings_of_the_guide_work(form: str) -> None:
    """A repeated request gets the number of the first, as the rule for its fault says."""
    clock = TurnedClock()
    async with SoapErpReceiver(clock).require_user("streamer", "invented") as erp:
        erp.refuses_duplicates = True
        settings = shown(erp)
        if form == "with the envelope":
            settings["soap"] |= {"version": "1.1", "envelope": ENVELOPE}
            del settings["soap"]["key_element"]
        async with Erp(Erp.Settings.model_validate(settings), context(clock)) as plugin:
            outcomes = [await plugin.deliver(delivery(key="1", body=BODY)) for _ in range(2)]

        assert outcomes == [Delivered(answer={"number": "INV-000001"})] * 2
        assert erp.invoices["A & B"]["version"] == 1
