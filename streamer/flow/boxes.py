"""Boxes of the map: the texts, the state and the badges of one part, each with its place."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

from streamer.flow.flow_map import Badge, FlowNode, Level, LogNode, level_of, rate

MARGIN = 8.0
"""Space around the drawing."""
TITLE_SIZE, TEXT_SIZE, TAG_SIZE = 15.0, 14.0, 13.0
"""Font sizes of the style sheet."""
TAG_HEIGHT = 24.0
_PAD = 16.0
_RIGHT_PAD = 10.0
_GAP = 6.0
_TAG_PAD = 10.0
_TITLE_BASELINE = 23.0
_TITLE_LINE = 35.0
_BASELINE = 15.0
_TEXT_LINE = 22.0
_DENSE_LINE = 30.0
_BOTTOM_PAD = 6.0
# A page has a hint for each of 60 subscribers; the subscriber's own page has the whole reason.
_LONGEST_HINT = 120
# Widths of characters as shares of the font size, for the widest of the usual sans-serif fonts.
_NARROW = frozenset("ijltfrI.,:;'|!()[]/ -")
_WIDE = frozenset("mwMW@%\N{EM DASH}")
_NARROW_EM, _USUAL_EM, _WIDE_EM = 0.38, 0.62, 0.95
_BOLD = 1.08


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxFrame:
    """Column of boxes, and how their boxes show a part.

    `has_state_below` puts the state under the title, for long titles. `has_rate` puts
    the rate into the note, for drawings whose edges have no labels. `has_dense_form`
    allows parts that need no attention on one line.
    """

    left: float
    width: float
    has_state_below: bool = False
    has_rate: bool = False
    has_dense_form: bool = False

    @property
    def text_left(self) -> float:
        """Left end of the texts."""
        return self.left + _PAD

    @property
    def right(self) -> float:
        """Right end of the texts."""
        return self.left + self.width - _RIGHT_PAD

    @property
    def room(self) -> float:
        """Width of the texts."""
        return self.right - self.text_left


@dataclass(frozen=True, slots=True, kw_only=True)
class MapText:
    """Text at a place, shortened to the room; `whole` is the full text."""

    text: str
    left: float
    baseline: float
    whole: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MapTag:
    """State or badge: a word on a ground of its level. A badge leads to `page`; a state leads nowhere.

    `word` is the word of the glossary in the text, or empty.
    """

    text: str
    level: Level
    left: float
    top: float
    width: float
    page: str = ""
    word: str = ""

    @property
    def right(self) -> float:
        """Right end."""
        return self.left + self.width

    @property
    def bottom(self) -> float:
        """Lower end."""
        return self.top + TAG_HEIGHT


@dataclass(frozen=True, slots=True, kw_only=True)
class MapBox:
    """Box of the part `key`: a title, a state, further lines of text, and badges. `page` shows the part."""

    key: str
    left: float
    top: float
    width: float
    height: float
    level: Level
    title: MapText
    page: str = ""
    state: MapTag | None = None
    lines: Sequence[MapText] = ()
    badges: Sequence[MapTag] = ()

    @property
    def right(self) -> float:
        """Right end."""
        return self.left + self.width

    @property
    def bottom(self) -> float:
        """Lower end."""
        return self.top + self.height

    @property
    def middle(self) -> float:
        """Vertical position at which edges meet the box."""
        return self.top + self.height / 2

    @property
    def hint(self) -> str:
        """Full versions of the box's shortened texts, as far as there is room."""
        cut = [each.whole for each in (self.title, *self.lines) if each.text != each.whole]
        whole = "; ".join(cut)
        return whole if len(whole) <= _LONGEST_HINT else f"{whole[:_LONGEST_HINT]}…"

    @property
    def full_name(self) -> str:
        """Full title if the title is shortened; otherwise empty."""
        return self.title.whole if self.title.text != self.title.whole else ""

    @classmethod
    def empty(cls, key: str, sentence: str, left: float, top: float, width: float) -> Self:
        """Return a box with a `sentence`, for a column without parts."""
        title = _text(sentence, BoxFrame(left=left, width=width), top + _TITLE_BASELINE - _BASELINE)
        height = _DENSE_LINE + _BOTTOM_PAD
        return cls(key=key, left=left, top=top, width=width, height=height, level=Level.QUIET, title=title)


def box_of(node: FlowNode, frame: BoxFrame, top: float, *, is_dense: bool = False) -> MapBox:
    """Return the box of a part, whose top left corner is at the frame's left side and at `top`."""
    is_calm = level_of(node) in {Level.GOOD, Level.QUIET}
    if is_dense and frame.has_dense_form and is_calm:
        return _dense_box(node, frame, top)
    if frame.has_state_below:
        return _box_with_state_below(node, frame, top)
    state = _state(node, frame, top)
    title = _title(node, frame, top, until=state.left)
    y = top + _TITLE_LINE
    note = _note(node, frame)
    inline = _at_the_right(node.badges, frame.right, y - 1)
    has_room = bool(inline) and frame.text_left + text_width(note, TEXT_SIZE) + _GAP <= inline[0].left
    y += _TEXT_LINE + (2 if has_room else 0)
    badges = inline if has_room else _wrapped(node.badges, frame, y)
    if badges and not has_room:
        y = badges[-1].bottom + _GAP / 2
    box = _box(node, frame, top, y, title=title)
    lines = [_text(note, frame, top + _TITLE_LINE)] if note else []
    return _with_reason(replace(box, state=state, lines=lines, badges=badges), node, frame)


def log_box(node: LogNode, left: float, top: float, width: float) -> MapBox:
    """Return the box of the log."""
    return box_of(node, BoxFrame(left=left, width=width, has_state_below=True), top)


def _box_with_state_below(node: FlowNode, frame: BoxFrame, top: float) -> MapBox:
    title = _title(node, frame, top, until=frame.right)
    shown = Badge(text=node.state.word, level=node.state.level, page="")
    state, *badges = _wrapped([shown, *node.badges], frame, top + _TITLE_LINE - 2)
    y = (badges[-1] if badges else state).bottom + _GAP / 2
    lines = []
    if note := _note(node, frame):
        lines.append(_text(note, frame, y))
        y += _TEXT_LINE
    box = _box(node, frame, top, y, title=title)
    return _with_reason(replace(box, state=state, lines=lines, badges=badges), node, frame)


def _dense_box(node: FlowNode, frame: BoxFrame, top: float) -> MapBox:
    """Return a box of one line, for a part that needs no attention."""
    state, note = _state(node, frame, top), _note(node, frame)
    left = state.left - 2 * _GAP - text_width(note, TEXT_SIZE)
    box = _box(node, frame, top, top + _DENSE_LINE, title=_title(node, frame, top, until=left))
    lines = [MapText(text=note, left=left, baseline=top + _TITLE_BASELINE, whole=note)] if note else []
    return replace(box, state=state, lines=lines)


def _box(node: FlowNode, frame: BoxFrame, top: float, bottom: float, *, title: MapText) -> MapBox:
    """Return the box of a part whose content ends at `bottom`."""
    return MapBox(
        key=node.name,
        left=frame.left,
        top=top,
        width=frame.width,
        height=bottom + _BOTTOM_PAD - top,
        level=level_of(node),
        title=title,
        page=node.page,
    )


def _with_reason(box: MapBox, node: FlowNode, frame: BoxFrame) -> MapBox:
    """Return the box with the beginning and the reason of a state that needs attention, as its last line."""
    state = node.state
    if not state.explanation or state.level not in {Level.BAD, Level.WAITS}:
        return box
    line = _text(state.explanation, frame, box.bottom - _BOTTOM_PAD)
    return replace(box, height=box.height + _TEXT_LINE, lines=[*box.lines, line])


def _state(node: FlowNode, frame: BoxFrame, top: float) -> MapTag:
    [state] = _at_the_right(
        [Badge(text=node.state.word, level=node.state.level, page="")], frame.right, top + 6
    )
    return state


def _title(node: FlowNode, frame: BoxFrame, top: float, *, until: float) -> MapText:
    room = until - frame.text_left - _GAP
    shown = fitted(node.name, room, TITLE_SIZE, bold=True)
    return MapText(text=shown, left=frame.text_left, baseline=top + _TITLE_BASELINE, whole=node.name)


def _note(node: FlowNode, frame: BoxFrame) -> str:
    """Return the numbers of a part, with its rate if the edges show no rates."""
    if isinstance(node, LogNode) or not frame.has_rate:
        return node.note
    return " · ".join(filter(None, (rate(node.per_second), node.note)))


def _text(text: str, frame: BoxFrame, top: float) -> MapText:
    """Return a line of text below `top`."""
    shown = fitted(text, frame.room, TEXT_SIZE)
    return MapText(text=shown, left=frame.text_left, baseline=top + _BASELINE, whole=text)


def _at_the_right(badges: Sequence[Badge], right: float, top: float) -> list[MapTag]:
    """Return tags in a row that ends at `right`."""
    tags: list[MapTag] = []
    for badge in reversed(badges):
        width = _tag_width(badge.text)
        tags.insert(0, _tag(badge, right - width, top))
        right -= width + _GAP
    return tags


def _wrapped(badges: Sequence[Badge], frame: BoxFrame, top: float) -> list[MapTag]:
    """Return tags in rows from the left, as many as fit into each row."""
    tags: list[MapTag] = []
    left = frame.text_left
    for badge in badges:
        tag = _tag(badge, left, top)
        if tags and tag.right > frame.right:
            left, top = frame.text_left, top + TAG_HEIGHT + _GAP / 2
            tag = _tag(badge, left, top)
        if tag.width > frame.room:
            text = fitted(badge.text, frame.room - 2 * _TAG_PAD, TAG_SIZE, bold=True)
            tag = replace(tag, text=text, width=frame.room)
        tags.append(tag)
        left = tag.right + _GAP
    return tags


def _tag(badge: Badge, left: float, top: float) -> MapTag:
    width = _tag_width(badge.text)
    return MapTag(
        text=badge.text,
        level=badge.level,
        left=left,
        top=top,
        width=width,
        page=badge.page,
        word=badge.word,
    )


def _tag_width(text: str) -> float:
    return round(text_width(text, TAG_SIZE, bold=True) + 2 * _TAG_PAD)


def text_width(text: str, size: float, *, bold: bool = False) -> float:
    """Return the estimated width of `text` at a font `size`; few fonts of browsers are wider."""
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
