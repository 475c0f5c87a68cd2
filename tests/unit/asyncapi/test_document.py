"""The document names the topics of a configuration as the log writes them."""

from pathlib import Path
from typing import Any

import pytest

from streamer.asyncapi import Interface, asyncapi_document
from streamer.configuration import load_document
from streamer.errors import ConfigurationError
from streamer.log.schemas import definitions

SECRETS = {
    name: f"not-to-be-shown-{number}" for number, name in enumerate(("SF_SECRET", "KAFKA_PASSWORD", "LEADS"))
}
EVERYTHING = """\
org:
  login_url: https://acme.my.salesforce.com
  auth: {flow: client_credentials, client_id: app, client_secret: "${SF_SECRET}"}
channels:
  - /data/ChangeEvents
  - /data/Invoice__ChangeEvent
  - /event/Order_Placed__e
  - /event/Orders__chn
  - /topic/OpenInvoices?Region__c='North'
  - /u/notifications/Demo
outbound:
  host: localhost
  messages: {leads: {secret: "${LEADS}"}}
log:
  kafka:
    bootstrap_servers: kafka-1.acme.com:9093, kafka-2.acme.com:9093
    prefix: sales
    topic: sf.{kind}.{name}
    partitions: 3
    retention_h: 96
    security: {protocol: SASL_SSL, mechanism: SCRAM-SHA-512, username: bus, password: "${KAFKA_PASSWORD}"}
subscribers:
  first: {uses: stdout, on: "salesforce.*"}
  second: {uses: stdout, after: first}
"""
ADDRESSES = {
    "sf.cdc.{name}",
    "sf.cdc.Invoice__c",
    "sf.event.Order_Placed__e",
    "sf.event.{name}",
    "sf.topic.OpenInvoices",
    "sf.generic.notifications_Demo",
    "sf.outbound.{name}",
    "sales.receipts",
    "sales.dead-letters",
    "sales.continuity",
    "sales.audit",
    "sales.checkpoints",
    "sales.control",
    "sales.parked.first",
    "sales.parked.second",
    "sales.forwarded.second",
}


def document_of(text: str, folder: Path, environ: dict[str, str] | None = None) -> dict[str, Any]:
    """Return the document of a configuration."""
    path = folder / "streamer.yaml"
    path.write_text(text)
    return asyncapi_document(Interface.of(load_document([path], environ or {})))


def test_every_topic_is_there(tmp_path: Path) -> None:
    """Under the names that the configuration gives them."""
    channels = document_of(EVERYTHING, tmp_path)["channels"]
    binding = channels["sf.cdc.Invoice__c"]["bindings"]["kafka"]

    assert {each["address"] for each in channels.values()} == ADDRESSES
    assert (binding["partitions"], binding["topicConfiguration"]["retention.ms"]) == (3, 96 * 3_600_000)


def test_description_says_how_to_read_the_topics(tmp_path: Path) -> None:
    """A reader of the document learns the isolation level, and which topics are Streamer's own."""
    about = document_of(EVERYTHING, tmp_path)["info"]["description"]

    assert "isolation.level=read_committed" in about
    assert about.endswith("Only Streamer reads and writes the topics with the tag internal.")


def test_others_need_not_know_the_secrets(tmp_path: Path) -> None:
    """The document is the same whether they are there or not, and holds none."""
    with_secrets = document_of(EVERYTHING, tmp_path, SECRETS)

    assert with_secrets == document_of(EVERYTHING, tmp_path)
    assert not [each for each in (*SECRETS.values(), "a-secret") if each in str(with_secrets)]


def test_servers_are_the_brokers(tmp_path: Path) -> None:
    """Each with its protocol, and with the way to log in."""
    document = document_of(EVERYTHING, tmp_path)

    assert [each["host"] for each in document["servers"].values()] == [
        "kafka-1.acme.com:9093",
        "kafka-2.acme.com:9093",
    ]
    assert {each["protocol"] for each in document["servers"].values()} == {"kafka-secure"}
    assert document["components"]["securitySchemes"]["login"]["type"] == "scramSha512"


@pytest.mark.parametrize(
    ("oauth", "scheme"),
    [
        (
            "{token_url: https://idp.acme.com/t, client_id: app, client_secret: a-secret-x, scope: kafka}",
            {
                "type": "oauth2",
                "flows": {
                    "clientCredentials": {
                        "tokenUrl": "https://idp.acme.com/t",
                        "availableScopes": {"kafka": ""},
                    }
                },
            },
        ),
        ("{provider: aws-msk-iam, settings: {region: x}}", {"type": "http", "scheme": "bearer"}),
    ],
)
def test_login_by_tokens_is_described(tmp_path: Path, oauth: str, scheme: dict[str, Any]) -> None:
    """A reader learns where tokens come from, and no secret."""
    login = 'mechanism: SCRAM-SHA-512, username: bus, password: "${KAFKA_PASSWORD}"'
    document = document_of(EVERYTHING.replace(login, f"mechanism: OAUTHBEARER, oauth: {oauth}"), tmp_path)

    found = document["components"]["securitySchemes"]["login"]
    assert found == {**scheme, "description": "SASL, OAUTHBEARER"}
    assert "a-secret-x" not in str(document)


def test_template_without_a_kind_joins_topics(tmp_path: Path) -> None:
    """An address stands there once, with the messages of all that share it."""
    channels = document_of(EVERYTHING.replace("sf.{kind}.{name}", "sf.{name}"), tmp_path)["channels"]
    joined = channels["sf.NAME"]

    assert set(joined["messages"]) >= {"ChangeUpdated", "PlatformEvent", "OutboundMessage"}
    assert "object" in joined["parameters"]["name"]["description"]


def test_tombstones_are_messages_of_change_topics(tmp_path: Path) -> None:
    """The reader of a change topic learns that records without a value come; other topics have none."""
    text = EVERYTHING.replace("    prefix: sales\n", "    prefix: sales\n    tombstones: true\n")
    document = document_of(text, tmp_path)

    having = {name for name, each in document["channels"].items() if "Tombstone" in each.get("messages", {})}
    assert having == {"sf.cdc.NAME", "sf.cdc.Invoice__c"}
    assert document["components"]["messages"]["Tombstone"]["payload"] == {"type": "null"}
    assert "Tombstone" not in str(document_of(EVERYTHING, tmp_path))


def test_names_of_the_configuration_are_the_documents(tmp_path: Path) -> None:
    """A topic with a name of its own is there beside the family that it would belong to."""
    naming = "    topics: {event: SFDC-Events}\n    topic_names: {cdc.Lead: leads}\n    topic_case: lower\n"
    channels = document_of(
        EVERYTHING.replace("    prefix: sales\n", f"    prefix: sales\n{naming}"), tmp_path
    )

    addresses = set(channels["channels"])
    assert addresses >= {"sf.cdc.NAME", "leads", "sf.cdc.invoice__c", "sfdc-events", "sf.topic.openinvoices"}
    assert "PlatformEvent" in channels["channels"]["sfdc-events"]["messages"]


def test_structured_mode_is_one_document(tmp_path: Path) -> None:
    """The value is the whole CloudEvent, and its media type says so."""
    text = EVERYTHING.replace("    prefix: sales\n", "    prefix: sales\n    content_mode: structured\n")
    message = document_of(text, tmp_path)["components"]["messages"]["ChangeUpdated"]

    assert message["contentType"] == "application/cloudevents+json"
    assert message["payload"]["allOf"][0] == {"$ref": "#/components/schemas/CloudEvent"}


@pytest.mark.parametrize(
    ("envelope", "message"), [("streamer", "RecordState"), ("flat", "FlatState"), ("debezium", "StateChange")]
)
def test_states_are_described_in_their_envelope(tmp_path: Path, envelope: str, message: str) -> None:
    """Each object has its topic, with values in the form of the settings, and tombstones."""
    text = EVERYTHING.replace("    partitions: 3\n", f"    partitions: 3\n    state_envelope: {envelope}\n")
    found = document_of(f"{text}state: {{objects: [Invoice__c, Account]}}\n", tmp_path)

    channel = found["channels"]["salesforce.state.Invoice__c"]
    assert found["channels"].keys() >= {"salesforce.state.Account"}
    assert channel["description"] == "The records of Invoice__c, each as a whole after its last change."
    assert list(channel["messages"]) == [message, "StateTombstone"]
    assert channel["bindings"]["kafka"]["topicConfiguration"]["cleanup.policy"] == ["compact"]
    payload = found["components"]["messages"][message]["payload"]
    assert payload == {"$ref": f"#/components/schemas/{message}"}
    assert message in found["components"]["schemas"]
    assert found["components"]["messages"]["StateTombstone"]["payload"] == {"type": "null"}


def test_every_definition_is_used() -> None:
    """The document without a configuration has the messages of every kind, and their headers."""
    document = asyncapi_document(Interface.by_default())
    left = definitions().keys() - document["components"]["schemas"].keys()

    others = {"FlatState", "StateChange", "StateRow"}
    assert left == {"ChangeEvent", "EventData", "CloudEvent", "StructuredHeaders"} | others
    assert "servers" not in document


@pytest.mark.parametrize(
    ("former", "latter", "sentence"),
    [
        ("log:\n  kafka:", "observe: {}\nremoved:\n  kafka:", "removed: no such key"),
        ("    partitions: 3\n", "    partitions: none\n", "log.kafka.partitions"),
        ("  - /u/notifications/Demo", "  - nowhere", "channels"),
    ],
)
def test_mistake_in_what_decides_about_topics_is_named(
    tmp_path: Path, former: str, latter: str, sentence: str
) -> None:
    """Rather than a document that is not the daemon's."""
    with pytest.raises(ConfigurationError, match=sentence):
        document_of(EVERYTHING.replace(former, latter), tmp_path)


def test_embedded_log_has_no_topics(tmp_path: Path) -> None:
    """The error says what to set."""
    text = EVERYTHING.partition("log:\n")[0] + "log: {sqlite: {path: log.db}}\n"

    with pytest.raises(ConfigurationError, match=r"log: .*a SQLite log has no topics: set log\.kafka"):
        document_of(text, tmp_path)


@pytest.mark.parametrize(
    ("registry", "content_type", "subject"),
    [
        ("", "application/avro; framing=schema-id", "sf.cdc.Invoice__c-value"),
        (", id_in: header, subjects: record", "application/avro", "salesforce.cdc.Invoice__c"),
    ],
)
def test_formats_and_subjects_are_named(
    tmp_path: Path, registry: str, content_type: str, subject: str
) -> None:
    """A consumer learns where the schemas are; events that are always JSON stay as they are."""
    avro = f"""    format: avro
    schema_registry: {{url: https://registry, auth: {{token: "${{REGISTRY_TOKEN}}"}}{registry}}}
"""
    text = EVERYTHING.replace("    partitions: 3\n", f"    partitions: 3\n{avro}")
    found = document_of(f"{text}state: {{objects: [Account]}}\n", tmp_path)

    messages = found["components"]["messages"]
    assert messages["ChangeUpdated"]["contentType"] == content_type
    assert "payload" not in messages["ChangeUpdated"]
    assert messages["RecordState"]["contentType"] == content_type
    assert "payload" not in messages["RecordState"]
    assert messages["PushTopicNotification"]["contentType"] == "application/json"
    invoices = found["channels"]["sf.cdc.Invoice__c"]["description"]
    assert invoices.endswith(f"The values are Avro; the schemas are in the subject {subject}.")
    assert found["servers"]["kafka-1"]["bindings"]["kafka"]["schemaRegistryUrl"] == "https://registry"
    assert "REGISTRY_TOKEN" not in str(found)
