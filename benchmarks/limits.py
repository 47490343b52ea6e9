"""curl as the limit of the machine: C, no signature, no checksum, no customer key.

Only the sink takes that. Large objects go up as one PUT each and come down as ranges that are
thrown away.
"""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from benchmarks.cells import Way
from sealift.model import MiB, cut_ranges

if TYPE_CHECKING:
    from benchmarks.peers import Run

RANGE_SIZE = 8 * MiB
# curl takes 300 at most.
_CONNECTIONS = 64


def curl_missing(run: Run) -> str | None:
    if shutil.which("curl") is None:
        return "curl is not here: apt-get install curl"
    if run.server.name != "sink":
        return "this server wants signatures"
    return None


def curl_command(run: Run) -> list[str]:
    """One process for all transfers, which a file names."""
    lines: list[str] = []
    for name in run.cell.names():
        url = f"{run.server.endpoint_url}/{run.bucket}/{run.prefix}{name}"
        path = run.directory / name
        if run.way is Way.UP:
            lines += _transfer(run, url, f'upload-file = "{path}"', os.devnull)
        elif run.cell.is_large:
            for span in cut_ranges(run.cell.size, RANGE_SIZE):
                wanted = f'range = "{span.start}-{span.end - 1}"'
                lines += _transfer(run, url, wanted, os.devnull)
        else:
            lines += _transfer(run, url, "create-dirs", str(path))
    configuration = run.scratch / "curl.conf"
    configuration.write_text("\n".join(lines[1:]))
    head = ["curl", "-q", "--silent", "--show-error", "--fail", "--parallel"]
    return [*head, "--parallel-max", str(_CONNECTIONS), "--config", str(configuration)]


def _transfer(run: Run, url: str, what: str, output: str) -> list[str]:
    """curl forgets the options of one transfer at the next."""
    return [
        "next",
        f'url = "{url}"',
        f'cacert = "{run.server.ca_file}"',
        what,
        f'output = "{output}"',
        # no round trip before a body
        'header = "Expect:"',
        "fail",
        "silent",
        "show-error",
    ]


def writes_files(run: Run) -> bool:
    """Whether what comes down can be looked at."""
    return not run.cell.is_large
