"""`python -m tests.soak`: see the package. Exit code 1 when anything is lost or left over."""

from __future__ import annotations

import argparse
import logging
import random
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.servers.ceph import ceph, ceph_available

from sealift.embedded import ministack

from .commands import Broken
from .rounds import RATE, Soak

_SERVERS = {"ceph": ceph, "ministack": ministack}


def main(arguments: Sequence[str] | None = None) -> int:
    logging.getLogger("asyncio").setLevel(logging.ERROR)  # it minds connections that faults broke
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="for each server")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--server", choices=[*_SERVERS, "both"], default="both")
    parser.add_argument("--rate", type=float, default=RATE, help="of requests that meet a fault")
    options = parser.parse_args(arguments)
    names = list(_SERVERS) if options.server == "both" else [options.server]
    missing = ceph_available()
    if "ceph" in names and missing is not None:
        parser.error(missing)
    seconds = options.minutes * 60
    return max(_soak(name, seconds, options.seed, options.rate) for name in names)


def _soak(name: str, seconds: float, seed: int, rate: float) -> int:
    directory = Path(tempfile.mkdtemp(prefix=f"sealift-soak-{name}-"))
    print(f"{name}: seed {seed}, {seconds / 60:g} minutes", flush=True)
    with _SERVERS[name](directory / "server") as server:
        soak = Soak(server, directory, seed, rate=rate)
        try:
            soak.run(seconds)
        except BaseException as reason:
            print(f"seed {seed}, kept: {directory}", flush=True)
            if not isinstance(reason, Broken):  # a mistake of the soak, or Ctrl-C
                raise
            print(f"{soak.summary}\nBROKEN: {reason}", flush=True)
            return 1
    print(f"{soak.summary}\n  lost 0", flush=True)
    shutil.rmtree(directory)
    return 0


if __name__ == "__main__":
    sys.exit(main())
