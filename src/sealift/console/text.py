"""Numbers and names as people read them. Pure.

Object names are hostile input: a name may hold escape sequences that repaint the terminal, or
bidirectional controls that make it read as another name. `escape` shows such characters instead of
sending them; everything that came from outside goes through it before a person sees it.
"""

from __future__ import annotations

import re

from sealift.model import KiB

ELLIPSIS = "…"

_HIDDEN = re.compile(
    "["
    "\x00-\x1f\x7f-\x9f"  # C0, DEL, C1
    "\u00ad\u200b\u2060-\u2064\ufeff"  # takes no room: soft hyphen, zero width space, ...
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u206f"  # bidirectional controls (UAX 9)
    "\u2028\u2029"  # line and paragraph separators
    "\ud800-\udfff"  # lone surrogates: bytes of a file name that are no UTF-8 (PEP 383)
    "\ufff9-\ufffb"  # interlinear annotations
    "\U000e0000-\U000e0fff"  # tags and variation selectors
    "]"
)
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def escape(text: str) -> str:
    """`text` on one line, with what a terminal would obey or hide shown as `\\x1b`, `\\u202e`.

    For reading, not for reading back: a backslash stays as it is.
    """
    if text.isprintable():
        return text
    return _HIDDEN.sub(_show, text)


def _show(match: re.Match[str]) -> str:
    code = ord(match[0])
    if 0xDC80 <= code <= 0xDCFF:
        code -= 0xDC00
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def size(n: float) -> str:
    """`n` bytes in the unit that leaves 1 to 4 digits: `512 B`, `1.5 MiB`."""
    value, unit = float(n), 0
    # 1023.95 would round to 1024.0
    while value >= KiB - 0.05 and unit < len(_UNITS) - 1:
        value /= KiB
        unit += 1
    return f"{value:.1f} {_UNITS[unit]}" if unit else f"{int(n)} B"


def rate(per_second: float) -> str:
    """Bytes a second."""
    return f"{size(per_second)}/s"


def frequency(per_second: float) -> str:
    """Objects a second: `0.4/s`, `1,234/s`."""
    return f"{per_second:.1f}/s" if per_second < 100 else f"{per_second:,.0f}/s"


def count(n: int, noun: str, plural: str = "") -> str:
    """`1 object`, `1,234 objects`."""
    return f"{n:,} {noun if n == 1 else plural or noun + 's'}"


def duration(seconds: float) -> str:
    """A clock: `0:28`, `1:02:03`, `2d 01:02:03`."""
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    if days:
        return f"{days}d {hour:02}:{minute:02}:{second:02}"
    return f"{hour}:{minute:02}:{second:02}" if hour else f"{minute}:{second:02}"


def span(seconds: float) -> str:
    """How long something took: `8.3 s`, from a minute on a clock."""
    return f"{seconds:.1f} s" if seconds < 59.95 else duration(seconds)


def percent(done: float, total: float) -> str:
    """Rounded down, so that `100.0%` means all of it."""
    share = done / total if total > 0 else 0.0
    return f"{int(min(max(share, 0.0), 1.0) * 1000) / 10:.1f}%"


def shorten(name: str, width: int) -> str:
    """`name` in at most `width` terminal cells; what is too much is left out in the middle."""
    from rich.cells import cell_len

    if cell_len(name) <= width:
        return name
    if width < 1:
        return ""
    tail = (width - 1) * 2 // 3  # names differ more at their ends
    head = width - 1 - tail
    start = len(name) - tail
    while cell_len(name[start:]) > tail:
        start += 1
    end = head
    while cell_len(name[:end]) > head:
        end -= 1
    return name[:end] + ELLIPSIS + name[start:]
