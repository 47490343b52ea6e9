"""The block that the live view redraws, as lines of text. Pure: clock and screen size come in."""

from __future__ import annotations

from rich.cells import cell_len
from rich.text import Text

from sealift.console.meter import Meter
from sealift.console.screen import Snapshot, progress
from sealift.console.text import count, duration, escape, frequency, percent, rate, shorten, size
from sealift.model import Job, MiB

OWN_LINE_SIZE = 8 * MiB
OWN_LINE_AFTER = 1.0
MAX_OWN_LINES = 6
TAIL_PAUSE = 1.0
MEAN_AFTER = 10.0  # before that it is what the bar says
MAX_WIDTH = 160  # eyes lose the line beyond
WIDE = 120  # room for a bar and both sizes beside a name

_OWN_BAR_WIDTH = 20
_SIZE_WIDTH = len("1023.9 MiB")
_RATE_WIDTH = len("1023.9 MiB/s")
_SIZES_WIDTH = len("1023.9 MiB of 1023.9 MiB")


class Frame:
    """Remembers between two drawings what throughputs are computed from."""

    def __init__(self, heading: str, meter: Meter) -> None:
        self._heading = escape(heading)
        self._meter = meter
        self._own: dict[int, _Own] = {}

    def lines(self, look: Snapshot, now: float, width: int, height: int) -> list[Text]:
        """At most `width` cells wide and `height` - 1 lines high."""
        width = min(width, MAX_WIDTH)
        self._meter.sample(now, look.moved_size, look.done_count + look.removed_count)
        self._follow(look.active, now)
        head = self._heading_line(now, width)
        head.append(self._bar(look, now, width))
        head += [Text(line) for line in pack(self._numbers(look, now), width)]
        room = min(MAX_OWN_LINES, max(height - 2 - len(head), 0))
        due = [own for own in self._own.values() if now - own.began >= OWN_LINE_AFTER]
        due.sort(key=lambda own: (not own.meter.stalled(now), -own.job.size, own.began))
        own_lines = [own.line(now, width) for own in due[:room]]
        rest = len(look.active) - len(own_lines)
        foot = []
        if rest:
            words = f"and {rest:,} more in flight" if own_lines else f"{rest:,} in flight"
            foot.append(Text(f"  {words}", style="dim"))
        return (head + own_lines + foot)[: max(height - 1, 1)]

    def _heading_line(self, now: float, width: int) -> list[Text]:
        if not self._heading:
            return []
        elapsed = f"  {duration(self._meter.elapsed(now))} elapsed"
        room = width - len(elapsed)
        name = shorten(self._heading, room)
        line = Text(name, style="bold")
        line.append(" " * (room - cell_len(name)) + elapsed, style="not bold")
        return [line]

    def _follow(self, active: list[Job], now: float) -> None:
        large = {id(job): job for job in active if job.size >= OWN_LINE_SIZE}
        self._own = {key: own for key, own in self._own.items() if large.get(key) is own.job}
        for key, job in large.items():
            own = self._own.setdefault(key, _Own(job, now))
            own.meter.sample(now, job.moved, 0)

    def _bar(self, look: Snapshot, now: float, width: int) -> Text:
        more = "" if look.plan_complete else "+"
        share = percent(*progress(look)) if look.plan_complete else "planning"
        stalled = self._meter.stalled(now)
        eta = self._eta(look, now)
        if stalled:
            is_all = look.plan_complete and look.moved_size >= look.planned_size
            # The bytes are there: the server puts parts together, or the disk syncs.
            speed = "finishing" if is_all and not look.only_removes else "no progress"
            until = f"for {duration(stalled)}"
        else:
            speed = (
                frequency(self._meter.object_rate) if look.only_removes else rate(self._meter.rate)
            )
            until = f"ETA {duration(eta)}{more}" if eta is not None else "ETA -:--"
        right = f"  {speed:>{_RATE_WIDTH}}  {until:<12}"
        left = f"{share:>6} "
        line = Text(left, style="bold")
        _draw_bar(line, *progress(look), width - len(left) - len(right))
        line.append(right, style="bold yellow" if stalled else "not bold")
        return line

    def _eta(self, look: Snapshot, now: float) -> float | None:
        eta = self._meter.eta(now, look.left_size, look.left_count)
        if eta is None or not look.plan_complete or look.left_count > len(self._own):
            return eta
        # only large objects are left: the slowest decides, however fast the others were; one that
        # pauses has no speed to go by
        for own in self._own.values():
            if own.meter.idle(now) < TAIL_PAUSE:
                eta = max(eta, own.meter.eta(now, own.job.size - own.job.moved, 0) or 0.0)
        return eta

    def _numbers(self, look: Snapshot, now: float) -> list[str]:
        more = "" if look.plan_complete else "+"
        speed = self._meter.object_rate
        numbers = []
        if not look.only_removes:
            elapsed = self._meter.elapsed(now)
            mean = f" (mean {rate(look.moved_size / elapsed)})" if elapsed >= MEAN_AFTER else ""
            numbers += [
                f"{size(look.moved_size)} of {size(look.planned_size)}{more}{mean}",
                f"{look.done_count:,} of {look.planned_count:,}{more} objects"
                + (f" ({frequency(speed)})" if speed >= 0.05 else ""),
            ]
        if look.planned_removal_count:
            planned = f"{look.planned_removal_count:,}{more}"
            numbers.append(f"{look.removed_count:,} of {planned} objects removed")
        if look.failed_count:
            numbers.append(f"{look.failed_count:,} failed")
        if look.retry_count:
            numbers.append(count(look.retry_count, "retry", "retries"))
        if look.skipped_count:
            numbers.append(f"{look.skipped_count:,} skipped")
        if not self._heading:
            numbers.append(f"{duration(self._meter.elapsed(now))} elapsed")
        return numbers


class _Own:
    """A large object in flight."""

    def __init__(self, job: Job, now: float) -> None:
        self.job = job
        self.began = now
        self.meter = Meter(now, job.moved)
        self.name = escape(job.path)

    def line(self, now: float, width: int) -> Text:
        stalled = self.meter.stalled(now)
        word = "ending" if self.job.moved >= self.job.size else "idle"
        speed = f"{word} {duration(stalled)}" if stalled else rate(self.meter.rate)
        share = percent(self.job.moved, self.job.size)
        wide = width >= WIDE
        if wide:
            sizes = f"{size(self.job.moved)} of {size(self.job.size)}"
            right = f"  {share:>6}  {sizes:>{_SIZES_WIDTH}}  {speed:>{_RATE_WIDTH}}"
        else:
            right = f"  {share:>6} of {size(self.job.size):>{_SIZE_WIDTH}} {speed:>{_RATE_WIDTH}}"
        room = max(width - len(right) - 2 - wide * (_OWN_BAR_WIDTH + 2), 0)
        name = shorten(self.name, room)
        line = Text("  " + name + " " * (room - cell_len(name)))
        if wide:
            line.append("  ")
            _draw_bar(line, self.job.moved, self.job.size, _OWN_BAR_WIDTH)
        line.append(right, style="yellow" if stalled else "")
        return line


def _draw_bar(line: Text, done: int, total: int, width: int) -> None:
    width = max(width, 0)
    full = int(width * min(done / total, 1.0)) if total > 0 else 0
    line.append("━" * full, style="green")
    line.append("─" * (width - full), style="not bold dim")


def pack(items: list[str], width: int) -> list[str]:
    """`items` with commas between, on as few lines of `width` as hold them."""
    lines = [items[0]]
    for item in items[1:]:
        if cell_len(lines[-1]) + len(item) + 3 <= width:
            lines[-1] += f", {item}"
        else:
            lines[-1] += ","
            lines.append(item)
    return lines
