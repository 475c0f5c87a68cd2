"""Hostile expressions, templates and configurations."""

import asyncio
import os

import orjson

from tests.acceptance.fuzz.besieged import Besieged
from tests.acceptance.fuzz.shapes.shape import SHAPES, Shape, many, shape

_TEXT = ("word " * 26_000)[:130_000]


_SPLIT = "split(data.fields.Name,' ')"
_FOUR = ",".join([_SPLIT] * 4)
_NAME = "data.fields.Name"
_EXPRESSIONS = {
    "texts of a long list": f"length([{_FOUR}][].to_string(@))",
    "a list that doubles": f"{_SPLIT}" + " | [@,@][]" * 9 + " | length(@)",
    "texts of a list that doubles": f"{_SPLIT}" + " | [@,@][]" * 4 + " | [].to_string(@) | length(@)",
    "a text that doubles": _NAME + " | join('', [@,@])" * 12 + " | length(@)",
    "texts within texts": _NAME + " | to_string([@,@])" * 8 + " | length(@)",
    "sorts of a list": f"{_SPLIT}" + " | [@,@][]" * 2 + " | sort(reverse(@))" * 30 + " | length(@)",
    "sorts by a key": f"{_SPLIT}" + " | sort_by([].{a: @}, &a) | [].a" * 20 + " | length(@)",
    "objects of a list": f"{_SPLIT}" + " | [].{a: @, b: @, c: @, d: @}.values(@) | []" * 3 + " | length(@)",
    "splits and joins": _NAME + " | split(@, ' ') | join(' ', @)" * 60 + " | length(@)",
    "replacements": _NAME + " | replace(@, 'word', 'word')" * 200 + " | length(@)",
    "hashes of a long text": "length([" + ",".join([f"sha256({_NAME})"] * 200) + "])",
    "searches in a text": f"length([{_FOUR}][?contains(@, 'w')])" + f" || contains({_NAME}, 'x')" * 150,
    "powers": "length(to_string(multiply(" + ",".join(["'1e9999999'"] * 30) + ")))",
    "a number of many digits": f"length(to_string(decimal(replace({_NAME}, 'word ', '9'))))",
    "brackets": "[" * 3_000 + "`1`" + "]" * 3_000,
    "nots": "!" * 7_000 + "`1`",
    "a chain of pipes": "@" + " | @" * 1_900,
}


def _expression(text: str) -> Shape:
    async def play(besieged: Besieged, size: float) -> None:
        tail = asyncio.create_task(besieged.follow("events/tail", params={"where": text}), name="tail")
        await besieged.settled()
        for number in range(2):
            besieged.publish(Name=_TEXT[: many(size, len(_TEXT))] + str(number))
            await besieged.carries()
            await besieged.settled()
        tail.cancel()
        await asyncio.wait([tail])

    return play


SHAPES |= {f"expression: {name}": _expression(text) for name, text in _EXPRESSIONS.items()}


_ALIASES = "x0: &x0 [a,a,a,a,a,a,a,a,a]\n" + "".join(
    f"x{number}: &x{number} [{','.join([f'*x{number - 1}'] * 9)}]\n" for number in range(1, 10)
)
_TEMPLATES = {
    "chains of maps": "{{ range(100000)|map('string')" + "|map('string')" * 60 + "|list|length }}",
    "loops within loops": "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}",
    "powers": "{{ 10**(10**9) }}",
    "powers of powers": "{{ " + "9**9**9" + " }}",
    "texts that double": "{% set x = 'x' * 10 %}" + "{% set x = x ~ x %}" * 40 + "{{ x|length }}",
}


async def _configured(besieged: Besieged, text: str) -> None:
    sound = besieged.config.read_text(encoding="utf-8")
    try:
        await besieged.reloads(text)
        besieged.change(Description="x")
        await besieged.carries()
        await besieged.settled()
    finally:
        await besieged.reloads(sound)


@shape("configuration: aliases of aliases")
async def _(besieged: Besieged, _: float) -> None:
    await _configured(besieged, besieged.config.read_text(encoding="utf-8") + _ALIASES)


@shape("configuration: brackets")
async def _(besieged: Besieged, size: float) -> None:
    deep = "x: " + "[" * many(size, 100_000)
    await _configured(besieged, besieged.config.read_text(encoding="utf-8") + deep)


def _named_file(kind: str) -> Shape:
    async def play(besieged: Besieged, _: float) -> None:
        named = besieged.directory / f"{kind}-{besieged.number}"
        if kind == "pipe":
            os.mkfifo(named)
        else:
            named.symlink_to("/dev/zero")
        sound = besieged.config.read_text(encoding="utf-8")
        besieged.change()
        hostile = sound.replace("a-key-of-the-target", f"{{file: {named}}}")
        assert hostile != sound
        try:
            assert await besieged.reloads(hostile) == "configuration.refused"
            refused = besieged.daemon.logged("configuration.refused")[-1]
            assert f"{named}: not a regular file, but a pipe or a device" in refused["reason"]
            await besieged.carries()
        finally:
            await besieged.reloads(sound)

    return play


SHAPES |= {f"configuration: a {kind} as a secret": _named_file(kind) for kind in ("pipe", "device")}


def _template(text: str) -> Shape:
    async def play(besieged: Besieged, _: float) -> None:
        sound = besieged.config.read_text(encoding="utf-8")
        content = orjson.dumps({"type": "text/plain", "template": text}).decode()
        await _configured(
            besieged, sound.replace("    body:\n      order: data.fields.N__c\n", f"    content: {content}\n")
        )

    return play


SHAPES |= {f"template: {name}": _template(text) for name, text in _TEMPLATES.items()}
