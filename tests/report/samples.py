"""What the pages in the tests tell."""

from __future__ import annotations

import math

from sealift.bench.cells import Plan
from sealift.bench.results import Result, Setting
from sealift.bench.samples import quantiles
from sealift.console.course import Course, Sample
from sealift.console.summary import Outcome, Status
from sealift.errors import NetworkError, ObjectError
from sealift.events import Failed, Planned, Retried, Skipped, Tally, Traffic
from sealift.model import GiB, KiB, MiB

UNSAFE = ObjectError("<img src=x onerror=alert(1)>", hint="look & see")

PLAN = Plan((16 * KiB, 64 * MiB), (1, 16, 128), (8 * MiB, 16 * MiB), 2.0)
SETTING = Setting(
    sealift="0.1.0",
    endpoint="a-very-long-name-of-an-endpoint-that-does-not-fit.s3.eu-central-1.example.com:9000",
    bucket='<script>alert("bucket")</script>',
    embedded=False,
    key_id="0123456789abcdef",
    date="2026-11-26T05:00:00+00:00",
    python="3.11.7",
    system="Linux x86_64",
    cpu_count=2,
    memory=256 * MiB,
    seconds=2.0,
    cell_count=18,
)


def results() -> list[Result]:
    """A plan as a server might have answered it; one cell failed and one moved nothing."""
    found = []
    for number, cell in enumerate(PLAN.cells()):
        rate = min(cell.concurrency or 60, 50) * (1e5 if cell.part_size is None else 3e7)
        times = [0.001 * (number + 1) * step for step in range(1, 40)]
        works = number != 3
        found.append(
            Result(
                cell=cell,
                reached=cell.concurrency or 57,
                seconds=2.0,
                size=round(rate * 2) if works else 0,
                object_count=1_234_567,
                request_count=40,
                first_byte=quantiles(value / 2 for value in times) if works else (),
                request=quantiles(times) if works else (),
                cpu_seconds=1.0,
                retry_count=12_345,
                throttle_count=12_345,
                failed_count=7 if number == 5 else 0,
                error="PutObject 500" if number == 5 else "",
                rates=tuple(rate * (1 + step % 3 / 10) for step in range(20)) if works else (),
            )
        )
    return found


def run_of_everything() -> tuple[Tally, Outcome, list[Sample], dict[str, str]]:
    """A run of an hour with names and errors that mean to be HTML."""
    tally, course = Tally(), Course(0.0)
    tally.emit(Planned(5000, 50 * GiB))
    for second in range(1, 3601):
        tally.done_size += round(10 * MiB * (1 + math.sin(second / 300) / 2))
        tally.done_count += 1 + second % 2
        if second % 600 == 0:
            tally.emit(Retried("a", 1, 0.5, NetworkError("lost")))
            tally.emit(Failed(f"<script>alert({second})</script>/{'long' * 60}", UNSAFE))
        course.add(float(second), tally)
    tally.emit(Skipped("a", "symbolic link"))
    tally.emit(Traffic(123_456))
    outcome = Outcome(Status.FAILED, 3600.0, "sync photos to s3://b/<b>", "0123456789abcdef", "",
                      course.peak)  # fmt: skip
    setting = {"command": "sealift sync photos 's3://b/<b>'", "sealift": "0.1.0"}
    return tally, outcome, course.samples, setting
