"""Records docs/images/recording.svg: `python -m tests.docs.recording`.

A shell in tmux, on a MiniStack of its own, is typed at. What it shows is taken several times a
second, drawn by rich, and put into one SVG that shows each picture for as long as it was there.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from html import escape
from pathlib import Path

from rich.console import Console
from rich.style import Style
from rich.terminal_theme import SVG_EXPORT_THEME
from rich.text import Text
from tests.contract.site import connect

from sealift.embedded import S3Server, ministack
from sealift.keys import CustomerKey

FILE = Path(__file__).parents[2] / "docs/images/recording.svg"
WIDTH, HEIGHT = 84, 22
EVERY = 0.5  # seconds
PAUSE = 2.5  # at the end of each command
_WIDE, _HIGH = 8.4, 18.0  # of a character
_PAPER, _INK = "#16191d", "#d5dae0"
LINES = (
    "sealift sync photos s3://photos/2026",
    "sealift sync photos s3://photos/2026     # again: nothing to do",
    "sealift restore s3://photos/2026/ back/",
    "sealift verify photos s3://photos/2026 --sealed",
)


class Terminal:
    """A shell in tmux, on a server of its own."""

    def __init__(self, socket: Path, directory: Path, environment: dict[str, str]) -> None:
        self._tmux = ["tmux", "-S", str(socket)]
        subprocess.run(
            [*self._tmux, "new-session", "-d", "-x", str(WIDTH), "-y", str(HEIGHT),
             "bash", "--norc"],
            cwd=directory, env=environment, check=True,
        )  # fmt: skip

    def type(self, text: str) -> None:
        subprocess.run([*self._tmux, "send-keys", "-l", "--", text], check=True)

    def enter(self) -> None:
        subprocess.run([*self._tmux, "send-keys", "Enter"], check=True)

    def shown(self) -> str:
        told = subprocess.run(
            [*self._tmux, "capture-pane", "-e", "-p"], check=True, capture_output=True, text=True
        )
        return told.stdout.rstrip("\n")

    def close(self) -> None:
        subprocess.run([*self._tmux, "kill-server"], check=True)


def pictures(terminal: Terminal) -> Iterator[str]:
    """What is shown, at even times, while the lines are typed and run."""
    for line in LINES:
        for end in range(8, len(line) + 8, 8):
            terminal.type(line[end - 8 : end])
            time.sleep(0.1)
        yield terminal.shown()
        terminal.enter()
        began = time.monotonic()
        while time.monotonic() - began < 1 or not terminal.shown().endswith("\n$"):
            assert time.monotonic() - began < 120, terminal.shown()
            time.sleep(EVERY)
            yield terminal.shown()
        yield from [terminal.shown()] * round(PAUSE / EVERY)


def drawn(frames: list[str]) -> str:
    """One SVG of all pictures. A line that is the same in many is there once, and seen at times."""
    seen: dict[tuple[int, str], list[int]] = {}
    for number, frame in enumerate(frames):
        for row, line in enumerate(frame.split("\n")):
            if line.strip():
                seen.setdefault((row, line), []).append(number)
    style, texts = "", ""
    for index, ((row, line), numbers) in enumerate(seen.items()):
        style += _seen_at(f"l{index}", numbers, len(frames))
        texts += f'<g id="l{index}">{_line(line, (row + 1.4) * _HIGH)}</g>\n'
    last = {(row, line) for row, line in enumerate(frames[-1].split("\n"))}
    shown = ",".join(f"#l{index}" for index, place in enumerate(seen) if place in last)
    still = f"g[id]{{animation:none!important}}{shown}{{visibility:visible!important}}"
    wide, high = WIDTH * _WIDE + 2 * _WIDE, (HEIGHT + 1.2) * _HIGH
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide:g} {high:g}" role="img" '
        'aria-label="A recording of sealift in a terminal">\n<style>'
        "text{font:14px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;white-space:pre}"
        f"g[id]{{visibility:hidden}}{style}"
        f"@media (prefers-reduced-motion:reduce),print{{{still}}}</style>\n"
        f'<rect width="100%" height="100%" rx="8" fill="{_PAPER}"/>\n{texts}</svg>\n'
    )


def _seen_at(name: str, numbers: list[int], count: int) -> str:
    """The animation of a line that is in these pictures."""
    if len(numbers) == count:
        return f"#{name}{{visibility:visible}}"
    steps = []
    for number in numbers:
        if number - 1 not in numbers:
            steps.append(f"{number / count * 100:.2f}%{{visibility:visible}}")
        if number + 1 not in numbers:
            steps.append(f"{(number + 1) / count * 100:.2f}%{{visibility:hidden}}")
    play = f"{name} {count * EVERY:g}s step-end infinite"
    return f"@keyframes {name}{{{''.join(steps)}}}#{name}{{animation:{play}}}"


def _line(line: str, y: float) -> str:
    """The pieces of a line, each in its colour and at its column."""
    column, drawn = 0, ""
    for piece in Text.from_ansi(line).render(Console(color_system="truecolor")):
        text, style = piece.text.rstrip("\n"), piece.style or Style()
        if text.strip():
            look = f' fill="{_colour(style)}"'
            look += ' font-weight="bold"' if style.bold else ""
            look += ' opacity="0.6"' if style.dim else ""
            lead = len(text) - len(text.lstrip())
            body = text.strip()
            drawn += (
                f'<text x="{(column + lead + 1) * _WIDE:.1f}" y="{y:.1f}"{look} '
                f'textLength="{len(body) * _WIDE:.1f}">{escape(body)}</text>'
            )
        column += len(text)
    return drawn


def _colour(style: Style) -> str:
    if style.color is None:
        return _INK
    return style.color.get_truecolor(SVG_EXPORT_THEME).hex


def environment(server: S3Server, home: Path) -> dict[str, str]:
    """That of the shell; the key is made for the recording."""
    lines = CustomerKey.generate().env_lines().splitlines()
    return {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(home), "XDG_STATE_HOME": str(home / "state"), "TERM": "xterm-256color",
        "LANG": "C.UTF-8", "PS1": "$ ", "AWS_ENDPOINT_URL": server.endpoint_url,
        "AWS_CA_BUNDLE": str(server.ca_file), "AWS_ACCESS_KEY_ID": server.access_key,
        "AWS_SECRET_ACCESS_KEY": server.secret_key, "AWS_REGION": server.region,
        **dict(line.split("=", 1) for line in lines),
    }  # fmt: skip


def plant(directory: Path) -> None:
    """A tree as people have them: many small files and some large ones."""
    for number in range(600):
        path = directory / f"photos/2026-{number // 60 + 1:02}/img_{number:04}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(secrets.token_bytes(20_000 + number * 100))
    for number in range(3):
        (directory / f"photos/film_{number}.mov").write_bytes(secrets.token_bytes(48 << 20))


def main() -> None:
    with tempfile.TemporaryDirectory() as name, ministack(Path(name)) as server:
        home = Path(name) / "home"
        home.mkdir()
        plant(home)
        variables = environment(server, home)
        connect(server).create_bucket(Bucket="photos")
        terminal = Terminal(Path(name) / "tmux", home, variables)
        try:
            time.sleep(1)
            frames = list(pictures(terminal))
        finally:
            terminal.close()
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(drawn(frames), encoding="utf-8")
    print(f"{FILE}: {len(frames)} pictures, {FILE.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
