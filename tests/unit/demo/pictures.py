"""Pictures of the demo: one while all targets are up, and one during the outage."""

from dataclasses import replace

from streamer.demo.deals import Deal
from streamer.demo.drawing.picture import DemoPicture, Station, StationState


def deal(name: str, amount: int) -> Deal:
    """Return a deal of this name."""
    return Deal(record_id=name, name=name, amount=amount, steps=())


GLOBEX, ACME = deal("Globex renewal", 312_000), deal("Acme licences", 1_240_000)
ERP = Station(
    title="ERP",
    state=StationState.UP,
    counts=["61 invoices"],
    waiting=1,
    most_waiting=40,
    latency_s=0.012,
    deals=[GLOBEX],
)
DOWN = replace(
    ERP, state=StationState.DOWN, is_open=True, counts=["38 invoices"], waiting=24, deals=[GLOBEX, ACME]
)
FULFILMENT = Station(
    title="Fulfilment", state=StationState.UP, counts=["60 shipments"], letters=1, deals=[ACME]
)
PICTURE = DemoPicture(
    stations=[
        Station(title="Salesforce", counts=["62 deals won"], deals=[ACME]),
        Station(title="Log: SQLite", counts=["186 events"], rates=[3, 20, 28]),
        ERP,
        FULFILMENT,
        Station(title="Write-back", state=StationState.UP, counts=["60 opportunities"]),
        Station(title="Slack", state=StationState.UP, counts=["4 messages"]),
    ],
    narration="The ERP is down. Streamer keeps its events in the log. The ERP returns in 4 s.",
    timeline=[f"{number:5.1f} s  line {number}" for number in range(40)],
    console_url="http://localhost:41231/console",
    elapsed_s=9.2,
    for_s=20.0,
)
OUTAGE = replace(PICTURE, stations=[DOWN if each is ERP else each for each in PICTURE.stations])
