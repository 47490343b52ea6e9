"""Kill -9 on a large scale: `python -m tests.kills [--server faults|ceph|ministack]`.

Without more every system call of each transfer is met by a kill, against the fault server. With a
real server syncs are killed at random. Prints a line for each; the exit code is 1 when anything was
lost, left or leaked.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import sys
import tempfile
import time
from pathlib import Path

from tests.contract.site import Site, connect
from tests.kills.nursery import Nursery
from tests.kills.soak import SoakDown, SoakUp
from tests.kills.sweep import TRANSFERS, Ground, sweep
from tests.kit import Certificate
from tests.servers.ceph import ceph

from sealift.embedded import ministack

_SERVERS = {"ceph": ceph, "ministack": ministack}
_SOAKS = {"up": SoakUp, "down": SoakDown}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.kills", description=__doc__)
    parser.add_argument("--server", choices=["faults", *_SERVERS], default="faults")
    parser.add_argument("--count", type=int, default=200, help="kills of each direction")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--direction", choices=["up", "down", "both"], default="both")
    parser.add_argument("--transfer", choices=[one.name for one in TRANSFERS], action="append")
    parser.add_argument("--twice", action="store_true", help="kill the run after a kill, too")
    parser.add_argument("--step", type=int, default=1, help="every so many calls only")
    options = parser.parse_args()
    logging.getLogger("asyncio").setLevel(logging.ERROR)  # the fault server's, of killed clients
    with tempfile.TemporaryDirectory(prefix="sealift-kills-") as name:
        if options.server == "faults":
            return _sweep(options, Path(name))
        return _soak(options, Path(name))


def _sweep(options: argparse.Namespace, directory: Path) -> int:
    failure_count = 0
    certificate = Certificate.make(directory)
    with Nursery() as nursery:
        for transfer in TRANSFERS:
            if options.transfer and transfer.name not in options.transfer:
                continue
            ground = Ground(nursery, certificate, directory / transfer.name, transfer)
            with ground.server:
                began = time.monotonic()
                swept = sweep(
                    ground,
                    transfer,
                    lambda calls: range(1, len(calls) + 1, options.step),
                    options.seed if options.twice else None,
                )
            print(f"{swept}, {time.monotonic() - began:.0f} s", flush=True)
            for failure in swept.failures:
                print(f"FAILED: {failure}", file=sys.stderr, flush=True)
            failure_count += len(swept.failures)
    return 1 if failure_count else 0


def _soak(options: argparse.Namespace, directory: Path) -> int:
    for name in list(os.environ):
        if name.startswith("AWS_") or name.upper().endswith("_PROXY"):
            del os.environ[name]
    os.environ["HOME"] = str(directory)
    with _SERVERS[options.server](directory / "server") as server:
        for direction, kind in _SOAKS.items():
            if options.direction not in (direction, "both"):
                continue
            os.environ["XDG_STATE_HOME"] = str(directory / direction / "state")
            work = directory / direction / "work"
            work.mkdir(parents=True)
            with contextlib.closing(connect(server)) as boto:
                site = Site(server, boto, work)
                boto.create_bucket(Bucket=site.bucket)
                began = time.monotonic()
                title = f"{options.server}, {direction}, seed {options.seed}"
                try:
                    soaked = kind(site, title, options.seed).run(options.count)
                except AssertionError as error:
                    print(f"FAILED: {title}: {error}", file=sys.stderr)
                    return 1
                print(f"{soaked}, {time.monotonic() - began:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
