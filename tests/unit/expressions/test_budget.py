"""Every expression and template ends within a budget of steps, for any event."""

import time
from contextlib import suppress
from typing import Any

import jinja2
import jmespath
import pytest

from streamer.dispatch.delivery.route import RouteSource, compile_route
from streamer.errors import BrokenRoute
from streamer.expressions.evaluation import evaluation
from streamer.expressions.functions import FunctionFailed, Functions
from streamer.expressions.projection import projected
from streamer.expressions.templates import compile_template
from tests.deliveries import event
from tests.unit.dispatch.world import TARGET, mistaken

# Several times what one evaluation takes here, for a slow machine; without the budget it is seconds to hours.
MOST_CPU_S = 2.0

ITEMS = 2_000
SPLIT = "split(data.fields.Name,' ')"


def an_item(number: int) -> dict[str, Any]:
    """Return one of the many parts of an event of a megabyte."""
    return {
        "Name": f"item {number}",
        "Q": number,
        "When": "2025-01-31 12:00",
        "Format": f"%Y-%m-%d %H:%M{' ' * (number % 7)}{number:>4}",
        "Zone": "Europe/Berlin",
        "Text": "x" * 60,
    }


def a_large_event() -> dict[str, Any]:
    """Return an event of about a megabyte, with a long text and lists that are equal and not the same."""
    return {
        "id": "1",
        "data": {
            "fields": {"Name": "a b " * 32_500, "Same": "a" * 30_000},
            "items": [an_item(number) for number in range(ITEMS)],
            "twins": [an_item(number) for number in range(ITEMS)],
            "n": 2_000,
        },
    }


EVENT = a_large_event()


def cpu_seconds(evaluate: Any) -> float:
    """Return how long `evaluate` takes for the large event, until it ends or is refused."""
    began = time.thread_time()
    with suppress(FunctionFailed, TypeError, ValueError):
        evaluate(EVENT)
    return time.thread_time() - began


def listed(expression: str, times: int) -> str:
    """Return a list of an expression, so many times."""
    return "[" + ",".join([expression] * times) + "]"


EXPRESSIONS = [
    f"length({listed(SPLIT, 4)}[].to_string(@))",
    f"length({listed(SPLIT, 9)}[].[upper(@), lower(@)][])",
    f"length(sort({listed(SPLIT, 16)}[]))",
    f"length({listed(SPLIT, 8)}[?@ == 'a'])",
    f"length({listed(SPLIT, 99)}[])",
    f"{listed(f'contains({SPLIT}, `7`)', 50)}",
    f"{listed('to_string(data)', 80)} | length(@)",
    f"{listed('data.items == data.twins', 200)}",
    f"{listed('contains(data.items, data.twins)', 50)}",
    f"{listed('[data.items] == [data.twins]', 200)}",
    f"{listed('data.items', 60)}[].to_string(@) | length(@)",
    f"{listed('data.items', 60)}[?contains(to_string(@), 'zzz')] | length(@)",
    f"{listed('data.items', 60)}[].{{a: Name, b: Q, c: Text}} | length(@)",
    f"sort_by({listed('data.items', 60)}[], &to_string(@)) | length(@)",
    f"max_by({listed('data.items', 60)}[], &length(to_string(@)))",
    f"map(&map(&to_string(@), [@, @, @]), {listed('data.items', 30)}[]) | length(@)",
    "data.items[*].parse_time(When, Format) | length(@)",
    f"{listed('data.items', 60)}[].sha256(Text) | length(@)",
    f"{listed('data.items', 60)}[].multiply(Q, Q, Q) | length(@)",
    f"{listed('data.items', 60)}[].format('{{}} {{}}', Name, Text) | length(@)",
    f"sum({listed('data.items', 60)}[].Q)",
    f"{listed('data.items', 9)}.{listed('@', 9)}[].{listed('@', 9)}[].*[] | length(@)",
    f"{listed('data.items', 200)}[].*.[to_string(@)][] | length(@)",
    f"{listed('sha256(data.fields.Name)', 400)}",
    f"{listed('upper(data.fields.Name)', 400)} | length(@)",
    f"{listed('reverse(data.fields.Name)', 900)} | length(@)",
    f"{listed('to_number(data.fields.Same)', 200)}",
    f"{listed('contains(data.fields.Same, ' + repr('a' * 50 + 'b' + 'a' * 49) + ')', 500)}",
    f"{listed('replace(data.fields.Same, ' + repr('a' * 50 + 'b') + ', `x`)'.replace('`x`', repr('')), 500)}",
    f"{listed('trim(data.fields.Same, ' + repr('bcdefghij' * 99 + 'a') + ')', 500)}",
    f"{listed('length(values(data.items[0]))', 900)}",
    f"merge({','.join(['data.fields'] * 900)})",
]


@pytest.mark.parametrize("compiler", [evaluation, projected])
@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_expression_ends_soon(expression: str, compiler: Any) -> None:
    """Neither a text of 130 kB nor a list of thousands keeps a process busy."""
    evaluate = compiler(jmespath.compile(expression), Functions())

    assert cpu_seconds(evaluate) < MOST_CPU_S


DOUBLED = "{% set ns = namespace(t=(1, 2), u=(1, 2)) %}{% for i in range(60) %}"
DOUBLED += "{% set ns.t = (ns.t, ns.t) %}{% set ns.u = (ns.u, ns.u) %}{% endfor %}"


def over_and_over(body: str, times: int = 100_000) -> str:
    """Return a template that does the same in each turn of a loop."""
    return f"{{% for i in range({times}) %}}{body}{{% endfor %}}"


TEMPLATES = [
    "{{ range(100000)" + "|map('string')" * 60 + "|list|length }}",
    "{{ range(100000)" + "|map(attribute='real')" * 60 + "|list|length }}",
    "{{ range(100000)" + "|select" * 60 + "|list|length }}",
    "{{ range(100000)" + "|map('default')|batch(1)|map('first')" * 20 + "|list|length }}",
    "{{ (range(100000)" + "|map('string')" * 60 + ")|join|length }}",
    "{{ range(100000)" + "|map('string')" * 20 + "|sort|unique|length }}",
    over_and_over("{% if data['items'] == data.twins %}{% endif %}"),
    over_and_over("{% if data.twins in [data['items']] %}{% endif %}"),
    over_and_over("{% if data.twins is eq(data['items']) %}{% endif %}"),
    over_and_over("{% if loop.changed(data.twins if i % 2 else data['items']) %}{% endif %}"),
    over_and_over("{{ [data['items'], data.twins]|sort|length if false else [[data['items']]].index([1]) }}"),
    over_and_over("{% set x = ([[data['items']]] + [[data.twins]])|unique|list %}"),
    over_and_over("{% set x = (data['items'], 1).count(data.twins) %}"),
    over_and_over("{% set x = data.fields.Name|upper|lower|title|trim %}"),
    over_and_over("{% set x = data.fields.Name.split(' ') %}"),
    over_and_over("{% set x = data.fields.Same.count('" + "a" * 50 + "b') %}"),
    over_and_over("{% set x = data|tojson|length %}"),
    over_and_over("{% set x = data['items']|groupby('Q')|length %}"),
    over_and_over("{% set x = (3 ** 1000) // (3 ** 500) + (7 ** 600) % (7 ** 300) %}"),
    over_and_over("{% set x = " + " + ".join(["data.n // 3"] * 100) + " %}"),
    over_and_over("{% set x = [" + ", ".join(["data.n"] * 100) + "] %}"),
    over_and_over("{% set x = sha256(data.fields.Name) %}"),
    over_and_over("{% set x = add(i, i) %}{% set x = format_number(i) %}"),
    over_and_over("{% set x = dict(data.fields, **data.fields) %}"),
    over_and_over("{% set x = data.fields.Name[1:] ~ data.fields.Name %}"),
    over_and_over("{% set x = ('%s' * 100) % ((data.fields.Name,) * 100) %}"),
    "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(40) }}",
    DOUBLED + "{{ {ns.t: 1} }}",
    DOUBLED + "{{ ns.t == ns.u }}",
    DOUBLED + "{{ ns.t in data.fields }}",
    DOUBLED + "{{ data.fields[ns.t] }}",
    DOUBLED + "{{ data.fields.get(ns.t) }}",
    DOUBLED + "{{ [ns.t] | unique | list | length }}",
    DOUBLED + "{{ [ns.t, ns.u] | sort | length }}",
    DOUBLED + "{{ ['x'] | map(attribute=ns.t) | list }}",
    DOUBLED + "{{ 'x' is in(ns.t) }}{{ ns.t is eq(ns.u) }}",
    DOUBLED + "{{ [1] | map('default', ns.t) | list | length }}{{ [ns.t].index(ns.u) }}",
]


STAGED = "{{ range(data.n * 40)" + "|map('string')" * 60 + "|list|length }}"


@pytest.mark.parametrize("source", [*TEMPLATES, STAGED])
def test_every_template_ends_soon(source: str) -> None:
    """Loops, generators, filters, tests, comparisons and numbers spend the same budget."""
    began = time.thread_time()
    # An expression that is too much for every event is refused when it is compiled.
    with suppress(jinja2.TemplateSyntaxError):
        cpu_seconds(compile_template(source, strict=False))
    assert time.thread_time() - began < MOST_CPU_S


@pytest.mark.parametrize(
    "source",
    [
        RouteSource(when=EXPRESSIONS[0]),
        RouteSource(body={"parts": EXPRESSIONS[0]}),
        RouteSource(text=STAGED),
        RouteSource(content=STAGED),
    ],
)
def test_refusal_names_the_expression_the_budget_and_the_remedy(source: RouteSource) -> None:
    """It is read in a dead letter, where nothing else tells what happened."""
    compiled = compile_route(TARGET, source, mistake=mistaken)
    named = next(name for name in ("when", "body", "text", "content") if getattr(source, name))
    large = event(data=EVENT["data"])

    with pytest.raises(BrokenRoute, match=rf"{named} fails on this event: .*200,000 steps.*fewer"):
        compiled.admits(large) and compiled.delivery(large, attempt=1)


def test_parts_of_a_body_share_its_budget() -> None:
    """A body of hundreds of keys takes no longer than one."""
    part = "length(data.items[*].to_string(@)) > `0`"
    shape = {f"key{number}": part for number in range(200)}
    compiled = compile_route(TARGET, RouteSource(body=shape), mistake=mistaken)

    with pytest.raises(BrokenRoute, match="200,000 steps"):
        compiled.delivery(event(data=EVENT["data"]), attempt=1)


@pytest.mark.parametrize(
    "expression",
    [
        "data.items[*].{name: Name, quantity: Q, when: When, text: Text}",
        "data.items[?Q > `10`].Name | sort(@) | join(', ', @)",
        "sort_by(data.items, &Q)[-1].Name",
        "to_string(data)",
        "sum(data.items[*].Q)",
        f"length({SPLIT})",
        "data.items[*].format('{} {}', Name, Q)",
    ],
)
def test_an_honest_expression_over_a_large_event_is_within_the_budget(expression: str) -> None:
    """The budget is for what repeats work, not for what reads each part once."""
    for compiler in (evaluation, projected):
        assert compiler(jmespath.compile(expression), Functions())(EVENT)


def test_error_of_a_function_does_not_repeat_what_it_was_given() -> None:
    """A value can be large, and no reader of a log or a dead letter is to see it."""
    compiled = compile_route(TARGET, RouteSource(body="abs(data.items)"), mistake=mistaken)

    with pytest.raises(BrokenRoute, match=r"abs\(\).* a number, found an array") as refused:
        compiled.delivery(event(data=EVENT["data"]), attempt=1)
    assert len(str(refused.value)) < 200
