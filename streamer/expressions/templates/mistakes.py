"""Finds mistakes in templates without an event: wrong names, wrong calls, and too large constants."""

from collections.abc import Iterator

import jinja2
import jinja2.meta
from jinja2 import nodes

from streamer.expressions.functions import FunctionFailed, Functions, LimitExceeded
from streamer.expressions.templates.environment import RANDOM, TemplateSandbox
from streamer.expressions.templates.nodes import counted

_PATH = ("data", "fields", "X")
_GLOBALS = frozenset(jinja2.Environment(autoescape=True).globals).difference(RANDOM)


def unknown_names(source: str, known: frozenset[str], functions: Functions) -> Iterator[tuple[str, int]]:
    """Yield each unknown name in `source` with its line; `known` names, Jinja2's and functions are known."""
    parsed = _parsed(source)
    undeclared = jinja2.meta.find_undeclared_variables(parsed) - _GLOBALS - known - functions.own.keys()
    for name in sorted(undeclared):
        lines = [each.lineno for each in parsed.find_all(nodes.Name) if each.name == name]
        yield name, min(lines, default=1)


def unknown_members(source: str, known: frozenset[str]) -> Iterator[tuple[str, int]]:
    """Yield each member of `data` in `source` that is not `known`, with its line.

    The function yields nothing if the template assigns a value to the name `data`.
    """
    parsed = _parsed(source)
    if not known or any(each.name == "data" and each.ctx != "load" for each in parsed.find_all(nodes.Name)):
        return
    for member in parsed.find_all((nodes.Getattr, nodes.Getitem)):
        path = _path(member)
        if len(path) != len(_PATH) - 1 or path[0] != _PATH[0]:
            continue
        name = path[1]
        # A method of the Python object, such as `items`, is not a mistake.
        if name not in known and not hasattr(dict, name):
            yield name, member.lineno


def fields_in_template(source: str) -> frozenset[str]:
    """Return the names of the record's fields that the template `source` reads as `data.fields.X`."""
    paths = (_path(each) for each in _parsed(source).find_all((nodes.Getattr, nodes.Getitem)))
    return frozenset(path[2] for path in paths if len(path) == len(_PATH) and path[:2] == _PATH[:2])


def _path(node: nodes.Node) -> tuple[str, ...]:
    """Return the names in the path `node`; an empty tuple if `node` is not a path of names."""
    if isinstance(node, nodes.Name):
        return (node.name,)
    if not isinstance(node, nodes.Getattr | nodes.Getitem):
        return ()
    of = _path(node.node)
    name = node.attr if isinstance(node, nodes.Getattr) else _constant(node.arg)
    return (*of, name) if of and isinstance(name, str) else ()


def _constant(node: nodes.Node) -> object:
    return node.value if isinstance(node, nodes.Const) else None


def mistaken_calls(source: str, functions: Functions) -> Iterator[tuple[str, int]]:
    """Yield a sentence for each wrong call of a function in `source`, with its line."""
    for call in _parsed(source).find_all(nodes.Call):
        function = functions.own.get(call.node.name) if isinstance(call.node, nodes.Name) else None
        if function is None or call.dyn_args or call.dyn_kwargs or call.kwargs:
            continue
        try:
            function.check_count(len(call.args))
            for position, (parameter, node) in enumerate(function.paired(call.args), start=1):
                if isinstance(node, nodes.Const) and node.value is not None:
                    function.read(position, parameter, node.value)
        except FunctionFailed as error:
            yield str(error), call.lineno


def sentence_of(error: jinja2.TemplateSyntaxError) -> str:
    """Return a sentence about a template that can't be compiled."""
    is_bound = isinstance(error.__cause__, LimitExceeded)
    return "exceeds a limit of templates for every event" if is_bound else "is not a Jinja2 template"


def check_constants(environment: TemplateSandbox, template: nodes.Template) -> None:
    """Raise `jinja2.TemplateAssertionError` for a part of `template` that exceeds a limit for every event."""
    for constant in _constants(template):
        output = nodes.Template([nodes.Output([constant], lineno=1)], lineno=1)
        output.set_environment(environment)
        environment.budget.begin()
        try:
            code = environment.compile(counted(output))
            environment.template_class.from_code(environment, code, {**environment.globals}).render()
        except LimitExceeded as error:
            raise jinja2.TemplateAssertionError(str(error), constant.lineno) from error
        except Exception:  # noqa: BLE001, S112 - any other error is reported when the template is rendered
            continue


def _constants(node: nodes.Node) -> Iterator[nodes.Expr]:
    """Yield the largest expressions in `node` that have the same value for every event.

    A filter or a method with constant arguments is also yielded, applied to a short
    text.
    """
    for child in node.iter_child_nodes():
        if not isinstance(child, nodes.Expr) or isinstance(
            child, nodes.Const | nodes.TemplateData | nodes.Name
        ):
            yield from _constants(child)
        elif _is_constant(child):
            yield child
        else:
            yield from _constants(child)
            if (applied := _applied(child)) is not None:
                yield applied


def _is_constant(node: nodes.Node) -> bool:
    return all(each.name == "range" for each in node.find_all(nodes.Name))


def _applied(node: nodes.Expr) -> nodes.Expr | None:
    """Return the filter or method `node` applied to a short text, if its arguments are constants."""
    line = node.lineno
    text = nodes.Const("x", lineno=line)
    if isinstance(node, nodes.Filter) and node.node is not None:
        parts = [*node.args, *node.kwargs]
        made: nodes.Expr = nodes.Filter(text, node.name, node.args, node.kwargs, None, None, lineno=line)
    elif isinstance(node, nodes.Call) and isinstance(node.node, nodes.Getattr):
        parts = [*node.args, *node.kwargs]
        method = nodes.Getattr(text, node.node.attr, "load", lineno=line)
        made = nodes.Call(method, node.args, node.kwargs, None, None, lineno=line)
    else:
        return None
    return made if parts and all(map(_is_constant, parts)) else None


def _parsed(source: str) -> nodes.Template:
    environment = jinja2.Environment(autoescape=True)
    for name in _GLOBALS.symmetric_difference(environment.globals):
        del environment.globals[name]
    parsed = environment.parse(source)
    # Here, filters only need names, because the template was compiled with the real filters
    # before.
    environment.filters |= dict.fromkeys((each.name for each in parsed.find_all(nodes.Filter)), str)
    return parsed
