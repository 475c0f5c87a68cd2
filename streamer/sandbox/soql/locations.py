"""Errors of a query, with the row and the column of the mistake."""

_BEFORE, _AFTER = 50, 50


def located(text: str, offset: int, sentence: str) -> str:
    """Return `sentence`, preceded by the wrong row of the query, and by a caret below the mistake."""
    start = text.rfind("\n", 0, offset) + 1
    row, column = text.count("\n", 0, offset) + 1, offset - start + 1
    shown_from = max(start, offset - _BEFORE)
    shown = text[shown_from : offset + _AFTER].partition("\n")[0]
    caret = " " * (offset - shown_from) + "^"
    return f"\n{shown}\n{caret}\nERROR at Row:{row}:Column:{column}\n{sentence}"
