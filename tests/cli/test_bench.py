"""`sealift bench` from the command line, on a server that fails on demand."""

from __future__ import annotations

import importlib.util
import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import RAW_KEY, Ended
from tests.faults import FaultServer, Match, Status

from sealift.errors import UsageError
from sealift.keys import CustomerKey

TINY = ("--sizes", "2KiB", "--concurrencies", "2", "--seconds", "0.1")
URI = "s3://bucket/here"

Run = Callable[..., Ended]


def records(ended: Ended) -> list[dict[str, Any]]:
    return [json.loads(line) for line in ended.stdout.splitlines()]


def cells(ended: Ended) -> list[dict[str, Any]]:
    return [record for record in records(ended) if record["event"] == "cell"]


def test_lines_for_programs(run: Run, server: FaultServer) -> None:
    ended = run("bench", URI, *TINY, "--json")
    assert (ended.status, ended.stderr) == (0, "")
    first, *rest = records(ended)
    assert (first["event"], first["version"], first["bucket"]) == ("bench", 1, "bucket")
    assert first["key_id"] == CustomerKey(RAW_KEY).key_id
    assert first["endpoint"] == server.endpoint_url.removeprefix("https://")
    assert [record["event"] for record in rest] == ["cell"] * first["cell_count"] + ["advice"]
    assert [(one["way"], one["concurrency"]) for one in cells(ended)] == [
        ("up", 2), ("up", None), ("down", 2), ("down", None),
    ]  # fmt: skip
    for one in cells(ended):
        assert one["bytes_per_second"] > 0
        assert 0 < one["first_byte"]["p50"] <= one["request"]["p50"] <= one["request"]["p99"]
        assert one["cpu_seconds_per_gib"] > 0
        assert one["failed_count"] == 0
    assert server.objects == {}


def test_lines_for_people(run: Run, server: FaultServer) -> None:
    ended = run("bench", URI, *TINY)
    assert ended.status == 0
    *lines, advice, _, _, _ = ended.stdout.splitlines()
    assert [line.split(":")[0] for line in lines] == [
        "up 2KiB, 2 in flight", "up 2KiB, without -j", "down 2KiB, 2 in flight",
        "down 2KiB, without -j",
    ]  # fmt: skip
    assert advice.startswith("recommended: ")
    assert run("bench", URI, *TINY, "--quiet").stdout.startswith("recommended: ")


def test_everything_is_sealed_and_below_a_prefix_of_its_own(run: Run, server: FaultServer) -> None:
    run("bench", URI, *TINY)
    puts = [request for request in server.requests if request.method == "PUT"]
    assert puts
    for request in puts:
        assert request.headers["x-amz-server-side-encryption-customer-algorithm"] == "AES256"
        assert request.name is not None
        assert request.name.startswith("here/.sealift-bench-")


def test_without_a_key_one_is_made_for_the_run(run: Run, server: FaultServer) -> None:
    Path(".env").unlink()
    ended = run("bench", URI, *TINY, "--json")
    assert ended.status == 0
    first, note, *_ = sorted(records(ended), key=lambda one: one["event"] != "bench")
    assert first["key_id"] != CustomerKey(RAW_KEY).key_id
    assert "one made for this run" in note["text"]
    assert server.objects == {}


def test_a_server_that_asks_to_slow_down(run: Run, server: FaultServer) -> None:
    server.script(Match(operation="PutObject", times=3), Status(503, "SlowDown"))
    ended = run("bench", URI, *TINY, "--json", "--seconds", "1")
    assert ended.status == 0
    assert sum(one["throttle_count"] for one in cells(ended)) == 3
    assert server.objects == {}


def test_a_server_that_takes_nothing(run: Run, server: FaultServer) -> None:
    server.script(Match(operation="PutObject", times=None), Status(403, "AccessDenied"))
    ended = run("bench", URI, *TINY)
    assert ended.status == 1
    assert "PutObject 403 AccessDenied" in ended.stderr


def test_requests_that_fail_now_and_then_are_told(run: Run, server: FaultServer) -> None:
    server.script(Match(operation="GetObject", after=2, times=3), Status(403, "AccessDenied"))
    ended = run("bench", URI, *TINY, "--json")
    assert ended.status == 1
    (failed,) = [one for one in cells(ended) if one["failed_count"]]
    assert failed["failed_count"] == 3
    assert "AccessDenied" in failed["error"]
    assert server.objects == {}


def test_who_may_not_list_can_measure(run: Run, server: FaultServer) -> None:
    server.script(Match(operation="ListObjectsV2", times=None), Status(403, "AccessDenied"))
    ended = run("bench", URI, *TINY, "--json")
    assert ended.status == 0
    notes = [one["text"] for one in records(ended) if one["event"] == "noted"]
    assert "cannot look for what earlier runs left" in notes[0]
    assert len(cells(ended)) == 4
    assert server.objects == {}


def test_what_cannot_be_removed_is_named(run: Run, server: FaultServer) -> None:
    server.script(Match(operation="DeleteObjects", times=None), Status(403, "AccessDenied"))
    ended = run("bench", URI, *TINY)
    assert ended.status == 1
    assert "sealift rm --recursive s3://bucket/here/.sealift-bench-" in ended.stderr
    assert server.objects


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("--sizes", "0"), "--sizes 0"),
        (("--concurrencies", "x"), "'x'"),
        (("--seconds", "-1"), "--seconds"),
        (("--compare", "missing.json"), "missing.json"),
        (("--compare", "name.bin"), "name.bin is not what"),
        (("--report", "no/such/r.html"), "no/such/r.html"),
        (("--save-json", "."), ". is a directory"),
        (("--memory", "1MiB"), "--memory"),
    ],
)
def test_nothing_is_started(
    run: Run, silent_endpoint: socket.socket, words: tuple[str, ...], named: str
) -> None:
    ended = run("bench", URI, *words)
    assert ended.status == 2
    assert named in ended.stderr


def test_where_settings_cannot_be_saved_nothing_is_started(
    run: Run, silent_endpoint: socket.socket
) -> None:
    Path("sealift.toml").symlink_to("gone/sealift.toml")
    ended = run("bench", URI, "--save")
    assert ended.status == 2
    assert "sealift.toml" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_the_library_that_is_missing_is_named_at_once(
    run: Run, silent_endpoint: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "matplotlib" else found(name)
    )
    ended = run("bench", URI, "--report", "r.html")
    assert ended.status == 2
    assert ended.stderr == (
        "sealift: --report needs the package matplotlib; pip install 'sealift[bench]'\n"
    )


def test_settings_are_saved_and_used(run: Run, server: FaultServer) -> None:
    Path("sealift.toml").write_text("# mine\n[transfer]\nconcurrency = 7\n")
    server.store("here/x", b"")
    ended = run("bench", URI, *TINY, "--save")
    assert ended.status == 0
    assert "saved to sealift.toml" in ended.stdout
    assert Path("sealift.toml").read_text().startswith("# mine\n[transfer]\n")
    Path("sealift.toml").write_text('[transfer]\npart-size = "1MiB"\n')
    ended = run("cp", "name.bin", "s3://bucket/")
    assert ended.status == 2
    assert "--part-size 1048576 is out of range" in ended.stderr
    assert run("cp", "name.bin", "s3://bucket/", "--part-size", "8MiB").status == 0
    assert run("ls", "s3://bucket/").status == 0  # moves nothing


def test_an_earlier_run_is_compared(run: Run, server: FaultServer) -> None:
    assert run("bench", URI, *TINY, "--save-json", "old.json", "--quiet").status == 0
    saved = [json.loads(line) for line in Path("old.json").read_text().splitlines()]
    assert [one["event"] for one in saved] == ["bench", *["cell"] * 4, "advice"]
    ended = run("bench", URI, *TINY, "--compare", "old.json", "--quiet")
    assert ended.status == 0
    assert f"compared with old.json of {saved[0]['date']}" in ended.stdout
    assert ended.stdout.count(" MB/s (") == 4
    assert "measure twice" in ended.stdout
    ended = run("bench", URI, *TINY, "--compare", "old.json", "--json", "--seconds", "0.2")
    assert len([one for one in records(ended) if one["event"] == "change"]) == 4


def test_an_earlier_run_cannot_command_the_terminal(run: Run, server: FaultServer) -> None:
    server.store("here/x", b"")
    assert run("bench", URI, *TINY, "--save-json", "old.json").status == 0
    first, *rest = Path("old.json").read_text().splitlines()
    record = json.loads(first) | {"date": "\x1b]0;mine\x07", "python": "\x1b[2J"}
    Path("old.json").write_text("\n".join([json.dumps(record), *rest]))
    ended = run("bench", URI, *TINY, "--compare", "old.json")
    assert ended.status == 0
    assert "\\x1b]0;mine" in ended.stdout
    assert "\x1b" not in ended.stdout


def test_the_key_is_shown_nowhere(run: Run, server: FaultServer) -> None:
    customer_key = CustomerKey(RAW_KEY)
    secret = dict(customer_key.headers())["x-amz-server-side-encryption-customer-key"]
    words = ("--save-json", "s.json", "--report", "r.html", "--log-level", "debug")
    ended = run("bench", URI, *TINY, *words)
    assert ended.status == 0
    for text in (
        ended.stdout,
        ended.stderr,
        Path("s.json").read_text(),
        Path("r.html").read_text(),
    ):
        assert secret not in text
        assert customer_key.md5 not in text


def test_a_guess_is_not_saved(
    run: Run, server: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sealift.bench.advice.MOST_TOLERANCE", 0.0)
    ended = run("bench", URI, *TINY, "--save")
    assert ended.status == 0
    assert "this is a guess" in ended.stdout
    assert "a guess is not saved" in ended.stdout
    assert not Path("sealift.toml").exists()


def test_settings_are_saved_even_if_the_report_cannot_be(
    run: Run, server: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def page(*_: object) -> str:
        raise UsageError("cannot write r.html: No space left on device")

    monkeypatch.setattr("sealift.bench.page.page", page)
    assert run("bench", URI, *TINY, "--save", "--report", "r.html").status == 2
    assert Path("sealift.toml").exists()
