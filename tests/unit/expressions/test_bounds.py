"""Limits of templates and expressions: no event and no mistake uses up the daemon's memory or time."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jinja2
import pytest

from streamer.dispatch.delivery.route import RouteSource, compile_route
from streamer.errors import BrokenRoute, ConfigurationError
from streamer.expressions.functions import Functions, LimitExceeded
from streamer.expressions.templates import compile_content, compile_template, unknown_names
from tests.deliveries import event
from tests.unit.dispatch.world import TARGET, mistaken

# Large enough to be refused, and small enough for a machine that does not refuse it.
WIDTH = 2_000_000
DOCUMENT: dict[str, Any] = {
    "data": {
        "n": WIDTH,
        "negative": -WIDTH,
        "text": "ab " * 1_000,
        "code": f"%{WIDTH}d",
        "items": [{"Name": "ab", "Q": each} for each in range(400)],
    }
}

_STEPS = "more than 200,000 steps"
_DOUBLING = "{%% set ns = namespace(s='x') %%}{%% for i in range(21) %%}%s{%% endfor %%}"


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("{{ 'x' * data.n }}", "the text would have more than 1,000,000 characters"),
        ("{{ data.n * [1] }}", "a list would have more than 100,000 items"),
        ("{{ 10 ** data.n }}", "an exponent must be at most 1,000"),
        ("{{ (data.n ** 900) * (data.n ** 900) }}", "a number would have more than 2,000 bits"),
        ("{{ 'x' | center(data.n) }}", "a width must be at most 10,000"),
        ("{{ 'x' | center(width=data.n) }}", "a width must be at most 10,000"),
        ("{{ 'x'.zfill(data.n) }}", "a width must be at most 10,000"),
        ("{{ ('x' | attr('ljust'))(data.n) }}", "a width must be at most 10,000"),
        ("{{ data.code % 1 }}", "a width must be at most 10,000"),
        ("{{ '%*d' | format(data.n, 1) }}", "a width in a format must be a number"),
        ("{{ '{:{w}}'.format(1, w=data.n) }}", "a width must be at most 10,000"),
        ("{{ '{x:{w}}'.format_map({'x': 1, 'w': data.n}) }}", "a width must be at most 10,000"),
        ("{{ [1] | batch(data.n, 0) | list | length }}", "a width must be at most 10,000"),
        ("{{ [1] | slice(data.n) | list | length }}", "a width must be at most 10,000"),
        ("{{ 'a' | indent(data.n, true) }}", "a width must be at most 10,000"),
        ("{{ 5 | round(data.negative) }}", "a number can be rounded to at most 1,000 decimal places"),
        ("{{ data | tojson(data.n) }}", "an indent must be a number from 0 to 16"),
        ("{{ data.text | replace('a', data.text) }}", "the text would have more than"),
        ("{{ data.text.replace('a', data.text) }}", "the text would have more than"),
        ("{{ data['items'] | join(data.text) }}", "the text would have more than"),
        ("{{ data['items'] | map(attribute='Name') | join(data.text) }}", "the text would have more than"),
        ("{{ data.text.join(data['items'] | map(attribute='Name')) }}", "the text would have more than"),
        ("{{ data.text | wordwrap(1, wrapstring=data.text) }}", "the text would have more than"),
        ("{{ [data] * 999 }}", "the text would have more than"),
        ("{{ data.text ~ ([data] * 999) }}", "the text would have more than"),
        (_DOUBLING % "{% set ns.s = ns.s + ns.s %}", "the text would have more than"),
        (_DOUBLING % "{% set ns.s = ns.s ~ ns.s %}", "the text would have more than"),
        (
            _DOUBLING.replace("21", "24") % "{% set ns.s %}{{ ns.s }}{{ ns.s }}{% endset %}",
            "the text would have",
        ),
        ("{% for i in range(9999) %}{% set s = data.text[1:] %}{% endfor %}", _STEPS),
        (
            "{% set s %}{% for i in range(9999) %}" + "x" * 1_100 + "{% endfor %}{% endset %}",
            _STEPS,
        ),
    ],
)
def test_what_an_event_makes_grow_is_refused_before_it_takes_memory(source: str, sentence: str) -> None:
    """An event's field as a width, a count or a format can't fill the daemon's memory."""
    render = compile_template(source, strict=False)

    with pytest.raises(LimitExceeded, match=sentence):
        render(DOCUMENT)


@pytest.mark.parametrize(
    "source",
    [
        "{% for a in data['items'] %}{% for b in data['items'] %}{% endfor %}{% endfor %}",
        "{% for a in range(9) recursive %}{% if loop.depth < 7 %}{{ loop(range(9)) }}{% endif %}{% endfor %}",
        "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(17) }}",
        "{% set all = data['items'] %}{% for a in range(2000) %}{% if a in all %}{% endif %}{% endfor %}",
        "{{ range(9999) | select('in', data['items']) | list | length }}",
        "{% for a in range(999) %}{{ data['items'] | max(attribute='Q') }}{% endfor %}",
        "{% for a in range(999) %}{{ data['items'] | sum(attribute='Q') }}{% endfor %}",
        "{% for a in range(999) %}{{ data['items'] | map(attribute='Q') | min }}{% endfor %}",
        "{% for a in range(400) %}{% set n = data.text | wordwrap | length %}{% endfor %}",
    ],
)
def test_work_without_any_output_ends(source: str) -> None:
    """Loops over an event's lists, and calls of macros that multiply, take a number of steps at most."""
    with pytest.raises(LimitExceeded, match="more than 200,000 steps"):
        compile_template(source, strict=False)(DOCUMENT)


def test_each_rendering_has_a_budget_of_its_own() -> None:
    """One event's use does not reduce the next one's budget."""
    render = compile_template("{% for a in range(30000) %}{% endfor %}done", strict=False)

    assert [render(DOCUMENT) for _ in range(3)] == ["done"] * 3


@pytest.mark.parametrize("method", ["encode()", "expandtabs(9)", "translate({97: 'x'})"])
def test_methods_that_nothing_bounds_are_forbidden(method: str) -> None:
    """No text needs them."""
    with pytest.raises(jinja2.exceptions.SecurityError, match="unsafe"):
        compile_template("{{ data.text." + method + " }}", strict=False)(DOCUMENT)


@pytest.mark.parametrize(
    "source",
    [
        f"{{{{ 'x' * {WIDTH} }}}}",
        f"{{{{ {WIDTH} * 'x' }}}}",
        f"{{{{ 9 ** {WIDTH} }}}}",
        f"{{{{ data.text | center({WIDTH}) }}}}",
        f"{{{{ data.text.rjust({WIDTH}) }}}}",
        f"{{% for a in [1] | batch({WIDTH}, 0) %}}x{{% endfor %}}",
    ],
)
def test_constants_beyond_a_bound_are_refused_when_the_template_is_compiled(source: str) -> None:
    """They would fail with every event."""
    with pytest.raises(jinja2.TemplateSyntaxError) as refused:
        compile_content("first line\n" + source, "text/plain", strict=False)

    assert refused.value.lineno == 2


@pytest.mark.parametrize(
    ("source", "made"),
    [
        ("{{ '%s is %5.1f%%' | format('it', 12.5) }}", "it is  12.5%"),
        ("{{ '{:>8,}'.format(data.n) }}", "2,000,000"),
        ("{{ 'ab' | center(6) }}{{ 'a b' | replace(' ', '--') }}", "  ab  a--b"),
        ("{{ data['items'][:3] | map(attribute='Q') | join(', ') }}", "0, 1, 2"),
        ("{{ 'n: ' ~ 1 ~ data.missing }}{{ [1] + [2] }}{{ 2 ** 10 }}", "n: 1[1, 2]1024"),
        ("{% for a in [1, 2] if a in [2] %}{{ loop.length }}{{ a }}{% endfor %}", "12"),
        ("{{ data.text[:2] }}{{ [1, 2] | batch(3, 0) | list }}", "ab[[1, 2, 0]]"),
        ("{% macro m() %}{{ caller(1) }}{% endmacro %}{% call(x) m() %}{{ x }}{% endcall %}", "1"),
    ],
)
def test_what_fits_is_rendered_as_ever(source: str, made: str) -> None:
    """The bounds change nothing below them."""
    assert compile_template(source, strict=False)(DOCUMENT) == made


def test_concatenation_is_escaped_in_markup() -> None:
    """As it is by Jinja2."""
    render = compile_content("{{ '<' ~ ('<b>' | safe) }}", "text/xml", strict=False)

    assert render({}) == "&lt;<b>"


def test_a_text_without_reason_is_no_name() -> None:
    """An event has the same text on every attempt, which `lipsum` and `random` do not give."""
    assert [name for name, _ in unknown_names("{{ lipsum() }}", frozenset(), Functions())] == ["lipsum"]
    with pytest.raises(jinja2.TemplateSyntaxError, match="random"):
        compile_template("{{ [1, 2] | random }}", strict=False)


def made_by(body: str, document: dict[str, Any]) -> Any:
    """Return the body that the expression makes of an event with these data."""
    compiled = compile_route(TARGET, RouteSource(body=body), mistake=mistaken)
    return compiled.delivery(event(data=document), attempt=1).body


@pytest.mark.parametrize(
    "body",
    [
        "join(data.text, data.items[*].Name)",
        "data.items[*].pad_left(Name, `10000`) | length(@)",
        "data.items[*].map(&pad_right(@, `9999`), [Name, Name]) | length(@)",
        "data.items[*].format('{}{}{}{}{}{}{}{}{}', $, $, $, $, $, $, $, $, $) | length(@)".replace(
            "$", "Name"
        ),
        "to_string([@, @, @, @] | [@, @, @, @] | [@, @, @, @] | [@, @, @, @])",
        "[@, @, @, @] | [@, @, @, @] | [@, @, @, @] | [@, @, @, @]",
    ],
)
def test_what_an_event_makes_of_an_expression_is_bounded(body: str) -> None:
    """Texts of functions, and copies of the event's parts, have a size at most."""
    document = DOCUMENT["data"] | {"items": [{"Name": "ab" * 1_000}] * 1_100}

    with pytest.raises(BrokenRoute, match=r"body fails on this event: .*(characters|steps)"):
        made_by(body, document)


def test_each_evaluation_has_a_budget_of_its_own() -> None:
    """A thousand events with large texts are no more than one."""
    source = RouteSource(body="pad_left(subject, `10000`)", when="pad_left(subject, `9999`) != 'x'")
    compiled = compile_route(TARGET, source, mistake=mistaken)

    for _ in range(450):
        assert compiled.admits(event())
        assert len(compiled.delivery(event(), attempt=1).body) == 10_000


def test_expression_that_multiplies_an_event_is_refused() -> None:
    """Each pipe doubles what it is given."""
    with pytest.raises(ConfigurationError, match="the expression copies the event too often"):
        made_by(" | ".join(["[@, @]"] * 11), {})


def test_error_of_a_template_names_its_place() -> None:
    """The dead letter says which part of the subscriber fails, and in which line."""
    compiled = compile_route(TARGET, RouteSource(text="a\n{{ 'x' * data.n }}"), mistake=mistaken)

    with pytest.raises(BrokenRoute, match="text fails on this event: line 2 of its template: the text would"):
        compiled.delivery(event(data={"n": WIDTH}), attempt=1)


def test_constant_beyond_a_bound_is_a_mistake_of_the_configuration() -> None:
    """It names the place, and does not call the template invalid."""
    with pytest.raises(
        ConfigurationError, match=r"text.*exceeds a limit of templates for every event: line 2: the text"
    ):
        compile_route(TARGET, RouteSource(text="a\n{{ 'x' * 2000000 }}"), mistake=mistaken)


def made_texts(functions: Functions, count: int) -> None:
    """Make texts of 900,000 characters."""
    for _ in range(count):
        functions.call_function("join", ["", ["x" * 900_000]])


def test_each_thread_has_a_bound_of_its_own() -> None:
    """Plugins evaluate on several threads: none restarts the evaluation of another."""
    functions = Functions()
    functions.budget.begin()
    made_texts(functions, 5)
    with ThreadPoolExecutor(1) as another:
        another.submit(functions.budget.begin).result()
        another.submit(made_texts, functions, 1).result()

    with pytest.raises(LimitExceeded, match=_STEPS):
        made_texts(functions, 1)


def test_no_thread_uses_up_the_bound_of_another() -> None:
    """An event with a small text does not become a dead letter because of other threads' texts."""
    functions = Functions()
    with ThreadPoolExecutor(1) as another:
        another.submit(functions.budget.begin).result()
        functions.budget.begin()
        made_texts(functions, 5)
        another.submit(made_texts, functions, 5).result()
