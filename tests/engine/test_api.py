"""The engine as programs use it: reports, events, cancellation, the façade without `await`."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.engine.conftest import LARGE, Site
from tests.kit import CUSTOMER_KEY, KEY

import sealift
from sealift import blocking, runs

pytestmark = pytest.mark.anyio

SMALL = {f"{number:02}": b"small" * number for number in range(10)}


def tree(site: Site) -> Path:
    for name, content in SMALL.items():
        site.file(f"tree/{name}", content)
    return site.directory / "tree"


async def test_a_report_tells_what_a_command_did(site: Site) -> None:
    source = tree(site)
    async with sealift.Engine(site.options()) as engine:
        first = await engine.sync(source, "s3://bucket/p/")
        again = await engine.sync(source, sealift.Location("bucket", "p/"))
        down = await engine.restore("s3://bucket/p/", site.out)
        one = await engine.get("s3://bucket/p/03", site.directory / "three")
        gone = await engine.remove("s3://bucket/p/03")

    size = sum(map(len, SMALL.values()))
    assert (first.moved_count, first.moved_size, first.checked_count) == (10, size, 10)
    assert (first.unchanged_count, first.failed_count, first.ok) == (0, 0, True)
    assert (again.moved_count, again.unchanged_count, again.unchanged_size) == (0, 10, size)
    assert (down.moved_count, one.moved_count, gone.removed_count) == (10, 1, 1)
    assert one.path == str(site.directory / "three")
    assert (site.directory / "three").read_bytes() == SMALL["03"]
    assert 0 < first.seconds < 60
    asked = sum(report.request_count for report in (first, again, down, one, gone))
    assert asked == len(site.server.requests)
    for report in (first, again, down, one, gone):
        report.raise_for_failures()


async def test_a_report_tells_what_failed_and_raises_it_if_asked(site: Site) -> None:
    site.server.store("p/good", b"x", customer_key=KEY)
    site.server.store("p/bad", b"x", customer_key=bytes(range(1, 33)))
    site.server.store("p/worse", b"x", customer_key=bytes(range(1, 33)))

    async with sealift.Engine(site.options()) as engine:
        report = await engine.restore("s3://bucket/p/", site.out)

    assert (report.ok, report.moved_count, report.failed_count) == (False, 1, 2)
    assert {failure.name for failure in report.failures} == {"p/bad", "p/worse"}
    with pytest.raises(sealift.RunError, match="and 1 more failed") as caught:
        report.raise_for_failures()
    assert isinstance(caught.value.__cause__, sealift.ObjectError)


async def test_what_is_wrong_with_arguments_is_raised_before_anything_is_touched(
    site: Site,
) -> None:
    async with sealift.Engine(site.options()) as engine:
        with pytest.raises(sealift.UsageError, match="s3://"):
            await engine.put(site.file("x", b"x"), "bucket/x")
        with pytest.raises(sealift.UsageError):
            await engine.copy("a", "b")
    assert not site.server.objects


async def test_one_command_runs_at_a_time(site: Site) -> None:
    path = site.file("x", LARGE)
    async with sealift.Engine(site.options()) as engine:
        first = asyncio.create_task(engine.put(path, "s3://bucket/x"))
        await asyncio.sleep(0)
        with pytest.raises(sealift.UsageError, match="another command"):
            await engine.put(path, "s3://bucket/y")
        assert (await first).moved_count == 1
    assert list(site.server.objects) == [("bucket", "x")]


async def test_an_engine_that_is_not_open_says_so(site: Site) -> None:
    engine = sealift.Engine(site.options())
    with pytest.raises(sealift.UsageError, match="async with"):
        await engine.put(site.file("x", b"x"), "s3://bucket/x")
    async with engine:
        pass
    with pytest.raises(sealift.UsageError, match="async with"):
        await engine.put(site.file("x", b"x"), "s3://bucket/x")


def test_without_asyncio_the_engine_names_the_facade(site: Site) -> None:
    opening = sealift.Engine(site.options()).__aenter__()
    with pytest.raises(sealift.UsageError, match=r"sealift\.blocking"):
        opening.send(None)


async def test_events_can_be_followed(site: Site) -> None:
    source = tree(site)
    names, planned = set(), 0
    async with (
        sealift.Engine(site.options()) as engine,
        engine.follow(engine.sync(source, "s3://bucket/p/")) as run,
    ):
        async for event in run:
            match event:
                case sealift.Finished(job):
                    names.add(job.location.name)
                case sealift.Planned(count):
                    planned += count
            assert engine.progress.moved_count <= 10
        assert engine.progress.moved_size == run.report.moved_size
        assert engine.progress.plan_complete
    assert names == {f"p/{name}" for name in SMALL}
    assert (planned, run.report.moved_count, run.dropped_count) == (10, 10, 0)


async def test_who_stops_following_cancels_the_command(site: Site) -> None:
    site.server.store("x", LARGE, customer_key=KEY)
    async with sealift.Engine(site.options()) as engine:
        async with engine.follow(engine.get("s3://bucket/x", site.out)) as run:
            async for event in run:
                if isinstance(event, sealift.Started):
                    break
        with pytest.raises(RuntimeError):
            run.report  # noqa: B018
        assert not site.out.exists()
        assert (await engine.get("s3://bucket/x", site.out)).ok
    assert site.out.read_bytes() == LARGE
    assert not site.left_behind()


async def followed(engine: sealift.Engine, command: Coroutine[Any, Any, sealift.Report]) -> None:
    async with engine.follow(command) as run:
        async for _ in run:
            pass


async def test_errors_come_out_of_following_as_they_are(site: Site) -> None:
    async with sealift.Engine(site.options()) as engine:
        with pytest.raises(sealift.UsageError, match="s3://"):
            await followed(engine, engine.get("x"))
        with pytest.raises(ZeroDivisionError):
            async with engine.follow(engine.put(site.file("x", LARGE), "s3://bucket/x")):
                raise ZeroDivisionError
        assert (await engine.put(site.file("x", b"x"), "s3://bucket/x")).ok


async def test_events_that_nobody_reads_take_no_memory(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "MAX_BEHIND", 5)
    async with sealift.Engine(site.options()) as engine:  # noqa: SIM117 - the line would be too long
        async with engine.follow(engine.sync(tree(site), "s3://bucket/p/")) as run:
            await anext(aiter(run))
            await engine.ended()
            read = [event async for event in run]
    assert len(read) <= 10
    assert run.dropped_count > 0
    assert run.report.moved_count == 10


async def test_a_command_can_be_cancelled(site: Site) -> None:
    site.server.store("x", LARGE, customer_key=KEY)
    async with sealift.Engine(site.options(max_bandwidth=100_000)) as engine:
        with anyio.move_on_after(0.3) as scope:
            await engine.get("s3://bucket/x", site.out)
        assert scope.cancelled_caught
        upload = asyncio.create_task(engine.put(site.file("y", LARGE), "s3://bucket/y"))
        await anyio.sleep(0.3)
        upload.cancel()
        with pytest.raises(asyncio.CancelledError):
            await upload
    assert not site.out.exists()
    assert ("bucket", "y") not in site.server.objects


async def test_a_program_keeps_what_is_its_own(site: Site) -> None:
    def state() -> list[object]:
        made = asyncio.new_event_loop()  # of the kind that is set
        made.close()
        handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
        return [
            handlers,
            gc.get_threshold(),
            gc.isenabled(),
            gc.get_freeze_count(),
            logging.getLogger().handlers[:],
            logging.getLogger("sealift").handlers[:],
            dict(os.environ),
            type(made),
        ]

    before = state()
    async with sealift.Engine(site.options()) as engine:
        assert (await engine.put(site.file("x", LARGE), "s3://bucket/x")).ok
        assert state() == before
    assert state() == before


def test_the_facade_needs_no_await(site: Site) -> None:
    source = tree(site)
    with blocking.Engine(site.options(), site.record) as engine:
        assert engine.sync(source, "s3://bucket/p/").moved_count == 10
        listed = list(engine.list_tree("s3://bucket/p/"))
        assert engine.stat("s3://bucket/p/03").size == len(SMALL["03"])
        with pytest.raises(sealift.UsageError):
            engine.get("nothing")
        assert engine.progress.moved_count == 0
    assert [found.name for found in listed] == [f"p/{name}" for name in SMALL]
    assert len(site.record.finished) == 10
    with pytest.raises(sealift.UsageError, match="not open"):
        engine.sync(source, "s3://bucket/p/")
    assert not [thread for thread in threading.enumerate() if "anyio" in thread.name.lower()]


async def test_the_facade_works_where_a_loop_runs(site: Site) -> None:
    with blocking.Engine(site.options()) as engine:
        assert engine.put(site.file("x", b"x"), "s3://bucket/x").ok


INTERRUPTED = """
import os, signal, sys, threading
from tests.kit import CUSTOMER_KEY
import sealift
from sealift import blocking

options = sealift.Options(CUSTOMER_KEY, endpoint_url=sys.argv[1], ca_bundle=sys.argv[2],
                          max_bandwidth=200_000)
with blocking.Engine(options) as engine:
    threading.Timer(0.7, os.kill, (os.getpid(), signal.SIGINT)).start()
    try:
        engine.get("s3://bucket/x", "out")
    except KeyboardInterrupt:
        print("interrupted", os.listdir())
    print(engine.put("y", "s3://bucket/y").moved_count)
"""


def test_ctrl_c_cancels_what_the_facade_waits_for(site: Site, settings: None) -> None:
    site.server.store("x", LARGE, customer_key=KEY)
    site.file("y", b"y")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", INTERRUPTED, site.server.endpoint_url,
         str(site.certificate.ca_file)],
        cwd=site.directory, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.stderr == ""
    assert done.stdout.splitlines()[0].startswith("interrupted")
    assert "'out'" not in done.stdout
    assert done.stdout.splitlines()[1:] == ["1"]


@pytest.mark.parametrize("command", ["put", "get"])
def test_options_are_read_as_the_command_line_reads_them(
    site: Site, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.chdir(site.directory)
    site.file("x", b"x")
    site.server.store("there", b"there", customer_key=KEY)
    site.file(
        ".env",
        f"{CUSTOMER_KEY.env_lines()}\nAWS_CA_BUNDLE={site.certificate.ca_file}\n"
        f"AWS_ENDPOINT_URL={site.server.endpoint_url}\n".encode(),
    )
    os.chmod(site.directory / ".env", 0o600)
    site.file("sealift.toml", b"[transfer]\nconcurrency = 3\n")
    for name in ("AWS_CA_BUNDLE", "AWS_ENDPOINT_URL"):
        monkeypatch.setenv(name, "")  # put back when the test ends
        monkeypatch.delenv(name)

    options = sealift.load_options()
    calls: dict[str, Callable[[blocking.Engine], sealift.Report]] = {
        "put": lambda engine: engine.put("x", "s3://bucket/x"),
        "get": lambda engine: engine.get("s3://bucket/there", "back"),
    }
    with blocking.Engine(options) as engine:
        assert calls[command](engine).ok

    assert options.concurrency == 3
    assert options.customer_key is not None
    assert options.customer_key.key_id == CUSTOMER_KEY.key_id
    assert not any("CUSTOMER_KEY" in name for name in os.environ)


def test_without_a_customer_key_there_are_no_options_unless_asked_for(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(site.directory)
    with pytest.raises(sealift.SettingsError, match="no customer key"):
        sealift.load_options()
    assert sealift.load_options(sealed=False).customer_key is None
