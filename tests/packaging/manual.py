"""Writes the manual page and the completions from the command line: `make manual`.

They are kept in docs/man, so that a wheel holds them without running what it is built from.
click-man writes one page a command, and knows no typer since that has a click of its own.
"""

from __future__ import annotations

import enum
import os
import re
import subprocess
import sys
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer.main

from sealift import __version__
from sealift.cli.app import app
from sealift.cli.shared import Shared

HOME = Path(__file__).parents[2] / "docs/man"
PAGE = "sealift.1"
# What each shell calls the file it looks for.
COMPLETIONS = {"bash": "sealift", "zsh": "_sealift", "fish": "sealift.fish"}

_SHARED = frozenset(Shared.__dataclass_fields__)
_EVERYWHERE = {"help", "install_completion", "show_completion"}

_OPENING = """\
.SH DESCRIPTION
Objects are encrypted by S3 under a customer key that only you have and that is sent with each
request.
Uploads and downloads run many at once, are verified by a checksum over every byte, and a file has
its name only when it is complete.
.PP
Options of all commands go before or after a command's name.
They go before the environment, the environment before
.IR .env ,
and then comes the AWS configuration as boto3 reads it.
"""

_ENDING = """\
.SH EXIT STATUS
.TP
.B 0
All is done.
.TP
.B 1
Some objects failed; each is named.
.TP
.B 2
Wrong usage, settings or customer key; nothing was started.
.TP
.B 130
Interrupted; the same command goes on.
.SH ENVIRONMENT
.TP
.BR SSE_CUSTOMER_KEY_BASE64 ", " SSE_CUSTOMER_KEY_MD5
The customer key: 32 bytes, and their MD5, in base64.
.TP
.BR SEALIFT_KEY_COMMAND ", " SEALIFT_KEY_DIR
As
.BR \\-\\-key\\-command " and " \\-\\-key\\-dir .
.TP
.BR BUCKET_NAME ", " KEY ", " PROFILE
What
.BR put ", " get ", " ls " and " stat
mean without arguments, and the profile.
.TP
.BR AWS_PROFILE ", " AWS_REGION ", " AWS_ENDPOINT_URL ", " AWS_ENDPOINT_URL_S3 ", " AWS_CA_BUNDLE
As for the AWS command line.
.TP
.BR HTTPS_PROXY ", " NO_PROXY
A proxy, by CONNECT.
.TP
.BR XDG_STATE_HOME ", " XDG_CONFIG_HOME ", " XDG_CACHE_HOME
In place of
.IR ~/.local/state ", " ~/.config " and " ~/.cache .
.SH FILES
On macOS the last three are below
.IR "~/Library" .
.TP
.I ./.env
Settings, one NAME=VALUE a line.
.TP
.I ./sealift.toml
Which prefix gets which customer key.
.TP
.I ~/.config/sealift/
.IR sealift.toml ,
and customer keys in
.IR keys/ .
.TP
.I ~/.local/state/sealift/
What each object was when it was moved, and what is unfinished; key ids only.
.TP
.I ~/.cache/sealift/
The server of
.BR "sealift demo" .
.SH EXAMPLES
.nf
sealift key new
sealift sync photos s3://my\\-bucket/photos
sealift restore s3://my\\-bucket/photos/
sealift verify photos s3://my\\-bucket/photos \\-\\-sealed
.fi
.SH SEE ALSO
.BR aws (1)
"""


def page() -> str:
    """The manual page, in man(7)'s macros."""
    group = typer.main.get_command(app)
    lines = [
        f'.TH SEALIFT 1 "" "sealift {__version__}" "User Commands"',
        ".SH NAME",
        f"sealift \\- {_text(_decapitalized(str(group.help)))}",
        ".SH SYNOPSIS",
        ".B sealift",
        r"[\fIOPTIONS\fR] \fICOMMAND\fR [\fIARGUMENTS\fR]",
        *_OPENING.splitlines(),
        ".SH COMMANDS",
        *_commands("sealift", group),
        ".SH OPTIONS OF ALL COMMANDS",
        *_parameters(p for p in group.params if p.name not in _EVERYWHERE),
        *_pair(r"\fB\-\-help\fR, \fB\-h\fR", "Show a help and exit."),
        *_pair(r"\fB\-\-install\-completion\fR", "Let the shell complete commands and options."),
        *_ENDING.splitlines(),
    ]
    return "\n".join(lines) + "\n"


def completion(shell: str) -> str:
    """The script by which `shell` asks sealift how a line goes on."""
    ended = subprocess.run(
        [Path(sys.executable).with_name("sealift")],
        env=os.environ | {"_SEALIFT_COMPLETE": f"source_{shell}"},
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    script = ended.stdout.strip() + "\n"
    if shell == "zsh":
        # zsh reads such a file when the first completion is asked for, which it then has to answer.
        script = script.replace(
            "compdef _sealift_completion sealift",
            'if [ "$funcstack[1]" = "_sealift" ]; then\n'
            '  _sealift_completion "$@"\n'
            "else\n"
            "  compdef _sealift_completion sealift\n"
            "fi",
        )
    return script


def files() -> dict[str, str]:
    """What is in `HOME`: the names of files and their content."""
    return {PAGE: page()} | {name: completion(shell) for shell, name in COMPLETIONS.items()}


def _commands(prefix: str, group: Any) -> Iterator[str]:
    for name, command in group.commands.items():
        if getattr(command, "commands", None):
            yield from _commands(f"{prefix} {name}", command)
            continue
        needed = [p for p in command.params if _is_argument(p) or p.required]
        shown = "".join(rf" {_bracketed(p)}" for p in needed)
        yield f'.SS "{_text(f"{prefix} {name}")}{shown}"'
        paragraphs = re.split(r"\n\s*\n", str(command.help))
        yield "\n.PP\n".join(_text(" ".join(each.split())) for each in paragraphs)
        yield from _parameters(p for p in command.params if p.name not in _SHARED | _EVERYWHERE)


def _parameters(parameters: Iterator[Any]) -> Iterator[str]:
    for each in parameters:
        text = each.help
        if isinstance(each.default, str) and each.default.strip("0s") and "default" not in text:
            text += f" (default: {each.default})"
        yield from _pair(_head(each), text)


def _pair(head: str, text: str) -> list[str]:
    return [".TP", head, _text(text)]


def _is_argument(parameter: Any) -> bool:
    return not parameter.opts[0].startswith("-")


def _bracketed(parameter: Any) -> str:
    return _head(parameter) if parameter.required else f"[{_head(parameter)}]"


def _head(parameter: Any) -> str:
    if _is_argument(parameter):
        return rf"\fI{_text(parameter.metavar or parameter.name.upper())}\fR"
    every = (*parameter.opts, *parameter.secondary_opts)
    names = ", ".join(rf"\fB{_text(name)}\fR" for name in every)
    if parameter.is_flag:
        return names
    choices = r"\fR|\fB".join(_text(each) for each in _choices(parameter))
    return rf"{names} \fB{choices}\fR" if choices else rf"{names} \fI{_text(parameter.metavar)}\fR"


def _choices(parameter: Any) -> list[str]:
    kind = parameter.type_descriptor.annotation
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return [str(each.value) for each in kind]
    return list(typing.get_args(kind)) if typing.get_origin(kind) is typing.Literal else []


def _text(text: str) -> str:
    """`text` as roff shows it; a minus is one that can be copied."""
    escaped = text.replace("\\", r"\e").replace("-", r"\-").replace("'", r"\(aq")
    return escaped.replace("~", r"\(ti").replace("`", r"\(ga").replace('"', r"\(dq")


def _decapitalized(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:].strip().removesuffix(".")


if __name__ == "__main__":
    for each, content in files().items():
        (HOME / each).write_text(content)
