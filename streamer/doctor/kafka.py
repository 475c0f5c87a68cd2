"""Checks of Kafka: brokers are reachable, rights suffice, and topics keep their records."""

import asyncio
from collections.abc import Iterator, Sequence

from confluent_kafka.admin import ClusterMetadata  # type: ignore[attr-defined] # public, but not marked so

from streamer.clock import Clock
from streamer.doctor.check import Area, Check, CheckResult, Once, counted, failed, ok, warning
from streamer.errors import LogUnavailable
from streamer.log.kafka.cluster.clients import Clients
from streamer.log.kafka.history.own_topics import OwnTopics
from streamer.log.kafka.topics.checks import TopicInspector, TopicsFound
from streamer.settings import KafkaLogSettings, Settings

_BROKERS = "the brokers"
# A call ends before its check's time-out, so that the check reports the call's error.
_SHARE = 0.5
_SHOWN = 3
_REACH = "check log.kafka.bootstrap_servers and log.kafka.security, and that a broker listens at that address"


class KafkaChecks:
    """Checks of the log in Kafka."""

    def __init__(
        self, kafka: KafkaLogSettings, settings: Settings, clock: Clock, *, timeout_s: float
    ) -> None:
        self._kafka = kafka
        self._settings = settings
        self._inspector = TopicInspector(kafka, clock, timeout_s=timeout_s * _SHARE)
        self.cluster: Once[ClusterMetadata] = Once(self._cluster, clock, timeout_s=timeout_s)
        self._topics: Once[TopicsFound] = Once(self._found, clock, timeout_s=timeout_s)

    def checks(self) -> Iterator[Check]:
        """Yield the checks."""
        yield Check(area=Area.LOG, name="Kafka brokers", run=self._reached)
        yield Check(area=Area.LOG, name="Kafka topics", run=self._judged)
        yield Check(area=Area.LOG, name="Kafka copies", run=self._kept)
        yield Check(area=Area.LOG, name="Kafka records", run=self._sound)
        yield Check(area=Area.LOG, name="Kafka transactions and groups", run=self._coordinated)

    async def end(self) -> None:
        """Cancel calls that still run."""
        await self.cluster.end()
        await self._topics.end()
        self._inspector.close()

    async def _cluster(self) -> ClusterMetadata:
        return await asyncio.to_thread(self._inspector.brokers)

    async def _found(self) -> TopicsFound:
        cluster = await self.cluster()
        subscribers = self._settings.subscribers
        after = [name for name, each in subscribers.items() if each.after]
        return await asyncio.to_thread(self._inspector.topics, cluster, list(subscribers), after)

    async def _reached(self) -> CheckResult:
        try:
            count = len((await self.cluster()).brokers)
        except LogUnavailable as error:
            refused = failed(str(error))
            return refused if refused.remedy else refused._replace(remedy=_REACH)
        answer = f"{counted(count, 'broker')} {'answers' if count == 1 else 'answer'}"
        return ok(
            f"{answer} at {self._kafka.bootstrap_servers} over {self._kafka.security.protocol}; the "
            f"brokers know Streamer as {self._inspector.principal}"
        )

    async def _judged(self) -> Sequence[CheckResult]:
        await self.cluster.needed(_BROKERS)
        found = await self._topics()
        faults = [failed(each) for each in found.refusals]
        faults += [_warned(each.sentence) for each in found.warnings]
        if found.missing:
            faults.append(await self._missing(found))
        elif not faults:
            faults.append(ok(f"{counted(len(found.states), 'topic')} checked, without a fault"))
        return faults

    async def _missing(self, found: TopicsFound) -> CheckResult:
        listed = "; ".join(found.missing[:_SHOWN])
        count = len(found.missing)
        more = f" and {count - _SHOWN} more" if count > _SHOWN else ""
        what = f"{counted(count, 'topic')} {'is' if count == 1 else 'are'} missing"
        if not self._kafka.create_topics:
            return failed(
                f"{what}, but log.kafka.create_topics is false", f"create these topics: {listed}{more}"
            )
        if await asyncio.to_thread(self._inspector.may_create) is False:
            return warning(
                f"{what}, but {self._inspector.principal} has no cluster-wide right to create topics",
                "grant the right Create on topics, at least on topics that begin with "
                f"'{self._kafka.prefix}.', or create these topics: {listed}{more}",
            )
        return ok(f"{what}; the first run creates them")

    async def _kept(self) -> Sequence[CheckResult]:
        cluster = await self.cluster.needed(_BROKERS)
        found = await self._topics()
        refused = await asyncio.to_thread(lambda: list(self._inspector.unwritable(cluster, found)))
        return [failed(each) for each in refused] or [
            ok("every topic has enough in-sync replicas for min.insync.replicas")
        ]

    async def _sound(self) -> CheckResult:
        await self.cluster.needed(_BROKERS)
        states = (await self._topics()).states
        clients = Clients(settings=self._kafka)
        foreign = await asyncio.to_thread(OwnTopics(clients).foreign_records, states)
        if not foreign:
            return ok("Streamer's own topics hold only Streamer's records")
        count, shown = len(foreign), "; ".join(foreign[:_SHOWN])
        more = f" and {count - _SHOWN} more" if count > _SHOWN else ""
        return warning(
            f"Streamer's own topics hold {counted(count, 'record')} that Streamer did not write and "
            f"ignores: {shown}{more}",
            (
                "let only Streamer write to these topics; to remove such a record, write a tombstone with "
                "the record's key"
            ),
        )

    async def _coordinated(self) -> Sequence[CheckResult]:
        await self.cluster.needed(_BROKERS)
        refused = await asyncio.to_thread(self._inspector.coordinator_refusals)
        return [failed(str(each)) for each in refused] or [
            ok(f"transactions and groups that begin with '{self._kafka.prefix}.' are allowed")
        ]


def _warned(sentence: str) -> CheckResult:
    verdict = failed(sentence)
    return warning(verdict.found, verdict.remedy)
