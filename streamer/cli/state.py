"""The command `streamer state get`."""

from collections.abc import Iterator
from typing import Annotated
from urllib.parse import quote

import orjson
import typer

from streamer.cli.lazy import HelpfulGroup
from streamer.cli.operating.api_command import ApiOptions, api_command
from streamer.cli.output import AsJson, console, plain, print_json, print_table
from streamer.events import JsonObject

state = typer.Typer(
    cls=HelpfulGroup,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="""Show records as the log knows them: with all fields, after their last change.

    Streamer keeps the states of the objects in `state.objects`.

    Exits 0 on success, 1 when the daemon refuses, knows no such record or can't be
    reached, 2 for a mistake in the arguments.
    """,
)


_OMITTED = "(too large for the log)"


@state.callback()
def _group() -> None:
    # Without a callback, typer would make the only command the group.
    pass


@state.command()
@api_command
async def get(
    where: ApiOptions,
    entity: Annotated[str, typer.Argument(metavar="ENTITY", help="API name of the object, such as Account.")],
    record_id: Annotated[str, typer.Argument(metavar="ID", help="Id of the record.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Show all fields of one record after its last change, or that the record is deleted."""
    found = await where.api().get(f"/states/{quote(entity, safe='')}/{quote(record_id, safe='')}")
    if as_json:
        print_json(found)
        return
    shown = console()
    read = f", read at {found['read_at']}" if found["read_at"] else ""
    what = "deleted" if found["is_deleted"] else "changed"
    heading = f"{found['entity']} {found['record_id']}: {what} at {found['changed_at']}{read}"
    shown.print(plain(heading), soft_wrap=True)
    if not found["is_deleted"]:
        rows = [{"FIELD": name, "VALUE": text} for name, text in _rows(found["fields"])]
        rows += [{"FIELD": name, "VALUE": _OMITTED} for name in found.get("omitted", ())]
        print_table(rows, empty="All fields are empty.")


def _rows(fields: JsonObject, within: str = "") -> Iterator[tuple[str, str]]:
    """Yield the name and the text of each field; a part of a compound field has a name with a dot."""
    for name, value in sorted(fields.items()):
        if isinstance(value, dict):
            yield from _rows(value, f"{within}{name}.")
        else:
            text = value if isinstance(value, str) else orjson.dumps(value, default=str).decode()
            yield f"{within}{name}", text
