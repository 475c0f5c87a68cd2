"""Widths of texts in a drawing, estimated without the fonts of a browser."""

_NARROW = frozenset("ijltfrI.,:;'|!()[]/ -")
_WIDE = frozenset("mwMW@%\N{EM DASH}")
# Shares of the font size, for the widest of the usual sans-serif fonts.
_NARROW_EM, _USUAL_EM, _WIDE_EM = 0.38, 0.62, 0.95
_BOLD = 1.08


def text_width(text: str, size: float, *, bold: bool = False) -> float:
    """Return the width of `text` at a font `size`; few fonts are wider."""
    ems = sum(_NARROW_EM if each in _NARROW else _WIDE_EM if each in _WIDE else _USUAL_EM for each in text)
    return ems * size * (_BOLD if bold else 1.0)


def fitted(text: str, room: float, size: float, *, bold: bool = False) -> str:
    """Return `text`, shortened with an ellipsis to fit into `room`; empty if not even the ellipsis fits."""
    if text_width(text, size, bold=bold) <= room:
        return text
    shown, room = text, room - text_width("…", size, bold=bold)
    while shown and text_width(shown, size, bold=bold) > room:
        shown = shown[:-1]
    return f"{shown.rstrip()}…" if room >= 0 else ""
