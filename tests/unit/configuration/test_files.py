"""Bodies, templates and tables in files of their own."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from streamer.app.plan import plan
from streamer.clock import TurnedClock
from streamer.configuration import Document, fingerprints, load, load_document
from streamer.configuration.effective import effective_configuration
from streamer.configuration.named_files import TableRefused, table_of_csv
from streamer.errors import ConfigurationError
from tests.unit.configuration.conftest import GOOD, Write

TARGET = """\
  target:
    uses: erp
    on: salesforce.cdc.Opportunity.updated
    {written}
    settings: {{url: "https://erp.acme.com/api"}}
"""


def subscriber(written: str, top: str = "") -> str:
    """Return a configuration with a subscriber with the line `written`, and the line `top`."""
    webhook = "    settings: {webhook_url: https://hooks.slack.com/services/T0/B0/x}\n"
    return f"{top}\n{GOOD}{webhook}{TARGET.format(written=written)}"


def body_in(document: Document) -> Any:
    """Return the body that the configuration gives the subscriber `target`."""
    return document.at(("subscribers", "target", "body"))


def told(path: Path) -> list[str]:
    """Return the mistakes in `path`, without the folder and the name of the subscriber `target`."""
    with pytest.raises(ConfigurationError) as caught:
        plan(load_document([path], {}), TurnedClock())
    whole = str(caught.value).replace(f"{path.parent}/", "")
    return whole.replace("subscribers.target.", "").splitlines()


def test_mapping_in_a_file_is_the_body(write: Write, tmp_path: Path) -> None:
    """As if it stood in the configuration, with variables and further files of its own."""
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps" / "order.yaml").write_text("id: subject\nline: {file: line.jmespath}\nat: ${AT}\n")
    (tmp_path / "maps" / "line.jmespath").write_text("data.fields\n  .Amount\n")
    document = load_document([write(subscriber("body: {file: maps/order.yaml}"))], {"AT": "time"})

    assert body_in(document) == {"id": "subject", "line": "data.fields\n  .Amount", "at": "time"}
    assert document.fingerprints.keys() >= {
        tmp_path / "maps" / "order.yaml",
        tmp_path / "maps" / "line.jmespath",
    }


def test_changed_mapping_is_seen(write: Write, tmp_path: Path) -> None:
    """So that a reload applies it."""
    mapping = tmp_path / "order.yaml"
    mapping.write_text("id: subject\n")
    document = load_document([write(subscriber("body: {file: order.yaml}"))], {})
    mapping.write_text("id: data.record_id\n")

    assert fingerprints(document.fingerprints) != document.fingerprints


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        (
            "order.yaml",
            "id: subject\nsum: data..x\n",
            "order.yaml:2: body.sum: is not a JMESPath",
        ),
        (
            "order.yaml",
            "id: subject\nsum: {a: [uper(id)]}\n",
            "order.yaml:2: body.sum.a.0: JMESP",
        ),
        ("order.yaml", "id: [subject\n", "order.yaml:2: is not YAML: "),
        ("order.yaml", "id: subject\nid: time\n", "order.yaml:2: body.id: is set twice"),
        (
            "order.yaml",
            "id: ${NOWHERE}\n",
            "order.yaml:1: body.id: the environment has no variable NOWHERE",
        ),
        ("order.yaml", "", "body: order.yaml: is empty"),
        ("order.yaml", "{file: order.yaml}", "order.yaml: includes itself, directly or through another file"),
        (
            "order.jmespath",
            "{id: subject,\n sum: data..x}\n",
            "order.jmespath:2:12: body: is not a",
        ),
        (
            "order.jmespath",
            "{id: subject,\n sum: subjct}\n",
            "order.jmespath:2:7: body: an event has",
        ),
    ],
)
def test_mistake_in_a_body_names_its_file_and_place(
    write: Write, tmp_path: Path, name: str, content: str, line: str
) -> None:
    """The line of the file, and of a whole expression the column too."""
    (tmp_path / name).write_text(content)
    lines = told(write(subscriber(f"body: {{file: {name}}}")))

    assert line in lines[0]


def test_missing_file_of_a_body_is_named(write: Write) -> None:
    """With the key that names it."""
    [line] = told(write(subscriber("body: {file: nowhere.yaml}")))

    assert line.endswith("body: nowhere.yaml: No such file or directory")


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (
            "<a>\n{{ subjct }}\n</a>",
            "order.xml:2: content.template: an event has no member with this name: subj",
        ),
        (
            "<a>\n\n{% if %}</a>",
            "order.xml:3: content.template: is not a Jinja2 template: line 3",
        ),
        (
            "<a>\n{{ upper() }}</a>",
            "order.xml:2: content.template: a function is called wrongly:",
        ),
        (
            "{{ to_zone(time, 'Mars') }}",
            "order.xml:1: content.template: a function is called wro",
        ),
    ],
)
def test_mistake_in_a_template_names_its_file_and_line(
    write: Write, tmp_path: Path, content: str, line: str
) -> None:
    """Before any event comes."""
    (tmp_path / "order.xml").write_text(content)
    [said] = told(write(subscriber("content: {template: {file: order.xml}, type: application/xml}")))

    assert said.startswith(line)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("content: {template: x, type: xml}", "content.type: found 'xml'; must look like application/xml"),
        ("content: {template: x}", "content.type: is missing"),
        (
            "content: {template: x, type: text/xml; charset=latin1}",
            "content.type: found a value that is not shown; must have no charset except utf-8",
        ),
        ("content: {template: x, type: a/b}\n    body: subject", "content: replaces body"),
    ],
)
def test_content_has_a_type_and_no_body_beside_it(write: Write, written: str, said: str) -> None:
    """Only one of them can be sent."""
    assert said in "\n".join(told(write(subscriber(written))))


def test_plugin_that_takes_no_content_is_named(write: Write) -> None:
    """Slack has a form of its own."""
    text = subscriber("body: subject").replace(
        "uses: slack\n", "uses: slack\n    content: {template: x, type: a/b}\n"
    )
    [line] = told(write(text))

    assert line.endswith("subscribers.sales.content: slack does not support content: use body")


@pytest.mark.parametrize(
    ("uses", "settings", "instead"),
    [
        ("erp", '{url: "https://erp.acme.com/api"}', "body or content"),
        ("mqtt", '{url: "mqtts://acme.com", topic: t}', "body or content"),
        ("file", "{path: /tmp/events.jsonl}", "body"),
    ],
)
def test_plugin_that_sends_no_text_refuses_one(write: Write, uses: str, settings: str, instead: str) -> None:
    """A template that nobody sends would be a message that never arrives."""
    text = subscriber("text: x").replace("uses: erp", f"uses: {uses}")
    [line] = told(write(text.replace('{url: "https://erp.acme.com/api"}', settings)))

    assert line.endswith(f": text: {uses} does not send text: use {instead}")


def test_tables_come_from_the_configuration_and_from_files(write: Write, tmp_path: Path) -> None:
    """CSV with one value or several, and YAML."""
    (tmp_path / "countries.csv").write_text('\ufeffcode;name\r\nDE;Germany\r\nNO;"Norway\r\n; north"\r\n')
    (tmp_path / "offices.csv").write_text("city,zip,street\nOslo,0150,\n")
    (tmp_path / "rates.yaml").write_text("EUR: 1\nNOK: 11.5\n")
    files = "countries: {file: countries.csv}, offices: {file: offices.csv}, rates: {file: rates.yaml}"
    document = load_document([write(f"tables: {{{files}, own: {{a: 1}}}}\n{GOOD}")], {})

    assert load(document).tables == {
        "countries": {"DE": "Germany", "NO": "Norway\r\n; north"},
        "offices": {"Oslo": {"zip": "0150", "street": ""}},
        "rates": {"EUR": 1, "NOK": 11.5},
        "own": {"a": 1},
    }
    printed = yaml.safe_load(effective_configuration(load(document), {}, document))
    assert printed["tables"]["countries"] == {"file": str(tmp_path / "countries.csv")}
    assert printed["tables"]["own"] == {"a": 1}


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("", 1, "at least two columns"),
        ("code\nDE\n", 1, "at least two columns"),
        ("code,name\nDE,Germany\n\nNO\n", 4, "has 1 columns, but the first line names 2"),
        ("code,name\nDE,Germany\nDE,Deutschland\n", 3, "the key 'DE' appears twice"),
        ('code,name\nDE,"Germ"any\n', 2, "is not CSV"),
    ],
)
def test_mistake_in_a_table_has_its_line(text: str, line: int, said: str) -> None:
    """Blank lines count, too."""
    with pytest.raises(TableRefused, match=said) as caught:
        table_of_csv(text)

    assert caught.value.line == line


def test_mistake_in_a_table_is_told_alone(write: Write, tmp_path: Path) -> None:
    """An expression that names it is not mistaken for that."""
    (tmp_path / "countries.csv").write_text("code,name\nDE\n")
    text = subscriber(
        "body: {c: \"lookup('countries', subject)\"}", "tables: {countries: {file: countries.csv}}"
    )
    [line] = told(write(text))

    assert line == "countries.csv:2: tables.countries: has 1 columns, but the first line names 2"


def test_table_of_another_kind_is_refused(write: Write) -> None:
    """By what it could be."""
    [line] = told(write(f"tables: {{x: {{file: x.xlsx}}}}\n{subscriber('body: subject')}"))

    assert line.endswith("tables.x: x.xlsx: must be a .csv or .yaml file")


def test_key_of_hashes_is_a_secret(write: Write) -> None:
    """It is long, and never shown."""
    text = f"hash_keys: {{main: hunter2}}\n{subscriber('body: subject')}"
    [line] = told(write(text))
    good = load_document([write(text.replace("hunter2", "hunter2-hunter2-hunter2"))], {})

    assert "hunter2" not in line
    assert "must have at least 16 characters" in line
    assert "hunter2" not in effective_configuration(load(good), {}, good)
    assert "hunter2" not in repr(load(good))
