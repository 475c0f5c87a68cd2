"""Schedule of a trial's faults, drawn from one seed."""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from streamer.settings import Transport
from tests.acceptance.stream_faults import ENDS

SESSION_S = 1.0
"""Seconds that a process may be silent before others take over its work."""


class Kind(StrEnum):
    """Kind of fault."""

    KILL = "kill a daemon"
    STOP = "stop a daemon"
    ZOMBIE = "freeze a daemon for longer than its session"
    ROUSED = "freeze a daemon until others begin to take over"
    NAP = "freeze a daemon for less than its session"
    BROKER_FREEZE = "freeze a broker"
    BROKER_RESTART = "restart a broker"
    BROKER_KILL = "kill a broker"
    KAFKA_STALL = "stall a daemon's connections to Kafka"
    KAFKA_RESET = "reset a daemon's connections to Kafka"
    KAFKA_BLACK_HOLE = "swallow what a daemon and Kafka say"
    KAFKA_DEAF = "swallow what Kafka answers to a daemon"
    ORG_STALL = "stall a daemon's connections to Salesforce"
    ORG_RESET = "reset a daemon's connections to Salesforce"
    ORG_BLACK_HOLE = "swallow what a daemon and Salesforce say"
    ORG_RESTART = "restart Salesforce"
    TOKENS_REVOKED = "revoke all tokens"
    ANSWER_LOST = "lose an answer of Salesforce"
    STREAM_TROUBLED = "trouble a stream of Salesforce"
    TARGET_DOWN = "a target hangs up on everyone"
    DELIVERY_UNANSWERED = "a target acts without answering"


class Part(StrEnum):
    """Part that a fault strikes; each part has one fault at a time."""

    DAEMON = "daemon"
    BROKER = "broker"
    KAFKA_CABLE = "cable to Kafka"
    ORG_CABLE = "cable to Salesforce"
    ORG = "Salesforce"
    STREAM = "stream of Salesforce"
    TARGET = "target"


_PARTS = {
    Kind.KILL: Part.DAEMON,
    Kind.STOP: Part.DAEMON,
    Kind.ZOMBIE: Part.DAEMON,
    Kind.ROUSED: Part.DAEMON,
    Kind.NAP: Part.DAEMON,
    Kind.BROKER_FREEZE: Part.BROKER,
    Kind.BROKER_RESTART: Part.BROKER,
    Kind.BROKER_KILL: Part.BROKER,
    Kind.KAFKA_STALL: Part.KAFKA_CABLE,
    Kind.KAFKA_RESET: Part.KAFKA_CABLE,
    Kind.KAFKA_BLACK_HOLE: Part.KAFKA_CABLE,
    Kind.KAFKA_DEAF: Part.KAFKA_CABLE,
    Kind.ORG_STALL: Part.ORG_CABLE,
    Kind.ORG_RESET: Part.ORG_CABLE,
    Kind.ORG_BLACK_HOLE: Part.ORG_CABLE,
    Kind.ORG_RESTART: Part.ORG,
    Kind.TOKENS_REVOKED: Part.ORG,
    Kind.ANSWER_LOST: Part.ORG,
    Kind.STREAM_TROUBLED: Part.STREAM,
    Kind.TARGET_DOWN: Part.TARGET,
    Kind.DELIVERY_UNANSWERED: Part.TARGET,
}

HALF_OPEN = "half-open"
NEW_SCHEMA = "schema changed"
STREAM_TROUBLES = (*ENDS, HALF_OPEN, NEW_SCHEMA)
"""Troubles of a stream of the Pub/Sub API, by the number that is drawn for each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that happens: `at_s` after the beginning, for `lasts_s`, to number `who` of its sort.

    Of the troubles of a stream, `who` is the number of the trouble.
    """

    at_s: float
    kind: Kind
    who: int
    lasts_s: float

    @property
    def part(self) -> Part:
        """The part that the fault strikes."""
        return _PARTS[self.kind]

    def __str__(self) -> str:
        """Tell it in a line."""
        which = STREAM_TROUBLES[self.who] if self.part is Part.STREAM else f"number {self.who}"
        return f"{self.at_s:5.1f} s: {self.kind} ({which}, {self.lasts_s:.1f} s)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Length of a trial, its parts, and how often each fault strikes them.

    Whatever goes through a daemon's cable to Kafka takes `delay_s` each way. The
    daemons read Salesforce over `transport`.
    """

    name: str
    faults: int
    weights: Mapping[Kind, int]
    brokers: int = 1
    delay_s: float = 0.0
    seconds: float = 14.0
    daemons: int = 3
    transport: Transport = Transport.COMETD


_MIXED = {
    Kind.KILL: 6,
    Kind.STOP: 3,
    Kind.ZOMBIE: 5,
    Kind.NAP: 2,
    Kind.BROKER_FREEZE: 3,
    Kind.KAFKA_STALL: 2,
    Kind.KAFKA_RESET: 2,
    Kind.KAFKA_BLACK_HOLE: 2,
    Kind.KAFKA_DEAF: 2,
    Kind.ORG_STALL: 1,
    Kind.ORG_RESET: 1,
    Kind.ORG_BLACK_HOLE: 1,
    Kind.ORG_RESTART: 2,
    Kind.TOKENS_REVOKED: 2,
    Kind.ANSWER_LOST: 2,
    Kind.TARGET_DOWN: 1,
    Kind.DELIVERY_UNANSWERED: 2,
}

# Over the Pub/Sub API, which has many troubles of its own.
_STREAM_WEIGHT = 24

MIXED = Profile(name="everything", faults=7, weights=_MIXED)

# A broker that is the only one is neither killed nor restarted: what it had
# answered, but not yet marked as committed, would be undecided for good. This
# happens even in an orderly stop.
CLUSTER = Profile(
    name="three brokers",
    brokers=3,
    faults=7,
    weights=_MIXED | {Kind.BROKER_KILL: 12, Kind.BROKER_RESTART: 4},
)

# With every step slow, former owners wake up in the midst of a takeover.
TAKEOVERS = Profile(
    name="slow takeovers",
    faults=5,
    weights={Kind.ROUSED: 8, Kind.ZOMBIE: 2, Kind.KILL: 1, Kind.KAFKA_STALL: 1},
    delay_s=0.05,
)


def profile_of(seed: int) -> Profile:
    """Return what a seed is tried on."""
    profile = (CLUSTER, MIXED, TAKEOVERS, MIXED)[seed % 4]
    return _over_pubsub(profile) if seed // 4 % 2 else profile


def _over_pubsub(profile: Profile) -> Profile:
    weights = dict(profile.weights)
    if weights.pop(Kind.ANSWER_LOST, 0):
        weights[Kind.STREAM_TROUBLED] = _STREAM_WEIGHT
    name = f"{profile.name}, over the Pub/Sub API"
    return replace(profile, name=name, weights=weights, transport=Transport.PUBSUB)


def schedule(seed: int) -> list[Fault]:
    """Return what happens in the trial `seed`, in the order of time: the same for the same seed."""
    dice = random.Random(seed)  # noqa: S311 - chance, no secret
    return sorted(_faults(dice, profile_of(seed)), key=lambda fault: fault.at_s)


def _faults(dice: random.Random, profile: Profile) -> Iterator[Fault]:
    slot_s = profile.seconds / profile.faults
    for number in range(profile.faults):
        [kind] = dice.choices(list(profile.weights), list(profile.weights.values()))
        yield Fault(
            at_s=(number + dice.random()) * slot_s,
            kind=kind,
            who=dice.randrange(_number_of(_PARTS[kind], profile)),
            lasts_s=_duration(dice, kind),
        )


def _number_of(part: Part, profile: Profile) -> int:
    match part:
        case Part.DAEMON | Part.KAFKA_CABLE | Part.ORG_CABLE:
            return profile.daemons
        case Part.BROKER:
            return profile.brokers
        case Part.STREAM:
            return len(STREAM_TROUBLES)
        case Part.ORG | Part.TARGET:
            return 1


def _duration(dice: random.Random, kind: Kind) -> float:
    match kind:
        # From the beginning of the takeover on.
        case Kind.ROUSED:
            return dice.uniform(0.5, 1.7)
        case Kind.ZOMBIE:
            return dice.uniform(1.5, 4) * SESSION_S
        case Kind.NAP:
            return dice.uniform(0.1, 0.7) * SESSION_S
        case Kind.KILL | Kind.STOP | Kind.BROKER_KILL:
            return dice.uniform(0.1, 2.5) * SESSION_S
        case _:
            return dice.uniform(0.1, 4) * SESSION_S
