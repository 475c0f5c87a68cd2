"""Diffs of long texts in change events."""

import hashlib
from difflib import SequenceMatcher

_MIN_CHARACTERS = 1000
_MAX_GROWTH = 0.5
_MAX_CHANGED_LINES = 0.25


def text_diff(before: str, after: str) -> str | None:
    """Return a unified diff with the SHA-256 of `after`, or `None` if the whole text must be sent.

    Salesforce sends a diff if four conditions hold (CDC guide, data differences in
    event fields). The text has at least 1,000 characters. Its length changes by less
    than half. At most a quarter of its lines change. The diff is shorter than the text.
    """
    if len(after) < _MIN_CHARACTERS or abs(len(after) - len(before)) >= _MAX_GROWTH * len(before):
        return None
    old, new = before.split("\n"), after.split("\n")
    edits = [
        code for code in SequenceMatcher(None, old, new, autojunk=False).get_opcodes() if code[0] != "equal"
    ]
    changed = sum(
        max(old_to - old_from, new_to - new_from) for _, old_from, old_to, new_from, new_to in edits
    )
    if changed > _MAX_CHANGED_LINES * len(old):
        return None
    digest = hashlib.sha256(after.encode()).hexdigest()
    hunks = [_hunk(old[a:b], new[c:d], a, c) for _, a, b, c, d in edits]
    diff = f"--- \n+++ {digest}\n{''.join(hunks)}"
    return diff if len(diff) < len(after) else None


def _hunk(removed: list[str], added: list[str], old_at: int, new_at: int) -> str:
    # An empty side names the line before it, as unified diffs do.
    old_range = f"{old_at + bool(removed)},{len(removed)}"
    new_range = f"{new_at + bool(added)},{len(added)}"
    lines = [*(f"-{line}\n" for line in removed), *(f"+{line}\n" for line in added)]
    return f"@@ -{old_range} +{new_range} @@\n{''.join(lines)}"
