"""Tree of an event's story, for a terminal."""

from rich.text import Text
from rich.tree import Tree

from streamer.cli.output import plain
from streamer.events import JsonObject

_STYLES = {
    "delivered": "green",
    "filtered": "dim",
    "dead_letter": "red",
    "parked": "yellow",
    "waiting": "yellow",
}


def story_tree(story: JsonObject) -> Tree:
    """Return the answer of the API as a tree; a subscriber stands below the first one that it comes after."""
    event = story["event"]
    title = (
        f"{event['type']} {event['subject'] or event['key']}" if event else "an event that could not be read"
    )
    root = Tree(Text.assemble((plain(title).plain, "bold")))
    if event:
        root.add(plain(f"id {event['id']}"))
    for sentence in story["said"]:
        root.add(plain(sentence))
    below: dict[str, Tree] = {}
    waiting = list(story["subscribers"])
    while waiting:
        # Those before come first, whatever their order in the configuration; a loop is refused there.
        ready = [each for each in waiting if not each["after"] or each["after"][0] in below]
        for each in ready or waiting:
            parent = below.get(each["after"][0], root) if each["after"] else root
            below[each["name"]] = _add_account(parent, each)
        waiting = [each for each in waiting if each["name"] not in below]
    if story["not_kept"]:
        missing = root.add("The log does not keep:")
        for sentence in story["not_kept"]:
            missing.add(plain(sentence))
    return root


def _add_account(parent: Tree, account: JsonObject) -> Tree:
    state = account["state"]
    label = plain(f"{account['name']} ({account['uses']}): ")
    label.append(state.replace("_", " "), style=_STYLES.get(state, ""))
    branch = parent.add(label)
    for sentence in account["said"]:
        branch.add(plain(sentence))
    for receipt in account["receipts"]:
        if receipt["answer"]:
            branch.add(plain(f"The target's answer: {_short(receipt['answer'])}"))
    for sentence in account["next_steps"]:
        branch.add(plain(f"→ {sentence}"))
    return branch


def _short(answer: JsonObject) -> str:
    text = ", ".join(f"{name} {value}" for name, value in answer.items())
    return text if len(text) <= 200 else f"{text[:199]}…"  # noqa: PLR2004 - a few lines of a terminal
