"""The command line is what the README says, and explains itself."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import typer.main
from tests.cli.conftest import RAW_KEY, Ended
from tests.faults import FaultServer

import sealift
from sealift.cli.app import app
from sealift.cli.shared import Shared
from sealift.keys import CustomerKey

README = Path(__file__).parents[2] / "README.md"
GROUP = typer.main.get_command(app)
COMMANDS = sorted(GROUP.commands)  # type: ignore[attr-defined]
SUBCOMMANDS = [
    (name, inner)
    for name in COMMANDS
    for inner in getattr(GROUP.commands[name], "commands", ())  # type: ignore[attr-defined]
]
SHARED = [
    "--endpoint-url", "--profile", "--region", "--ca-bundle", "--env-file", "--key-file",
    "--key-dir", "--key-command", "--config", "--quiet",
    "--json", "--no-progress", "--log-level", "--log-file", "--metrics-file", "--concurrency",
    "-j", "--part-size", "--memory", "--max-bandwidth", "--sse",
]  # fmt: skip


def documented(text: str) -> set[str]:
    """The commands in the rows of a table `| command | does |`."""
    rows = [line for line in text.splitlines() if line.lstrip().startswith("|")]
    return {
        name for row in rows for cell in row.split("|")[1:2]
        for name in re.findall(r"`sealift ([a-z][a-z-]*)", cell)
    }  # fmt: skip


def test_reads_the_table() -> None:
    text = """
`sealift outside` is no row
| command | does |
|---|---|
| `sealift put [FILE] [URI]`, `sealift get` | like `sealift cp` |
| `sealift key new` | a key |
"""
    assert documented(text) == {"put", "get", "key"}


@pytest.mark.skipif(
    not README.exists() and not os.environ.get("CI"), reason="there is no README yet"
)
def test_the_readme_names_every_command_and_no_other() -> None:
    assert documented(README.read_text()) == set(COMMANDS)


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_names_every_command(run: Callable[..., Ended], option: str) -> None:
    ended = run(option)
    assert ended.status == 0
    for command in COMMANDS:
        assert re.search(rf"\b{command} {{2,}}\S", ended.stdout), command


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_every_command(run: Callable[..., Ended], command: str) -> None:
    ended = run(command, "--help")
    assert ended.status == 0
    assert ended.stderr == ""
    assert f"Usage: sealift {command}" in ended.stdout
    for option in SHARED:
        assert option in ended.stdout


@pytest.mark.parametrize("words", SUBCOMMANDS, ids=" ".join)
def test_help_of_every_subcommand(run: Callable[..., Ended], words: tuple[str, ...]) -> None:
    ended = run(*words, "--help")
    assert (ended.status, ended.stderr) == (0, "")
    assert f"Usage: sealift {' '.join(words)}" in ended.stdout
    for option in SHARED:
        assert option in ended.stdout


def test_shared_options_go_anywhere_before_and_after_subcommands(
    run: Callable[..., Ended],
) -> None:
    words = ["key", "list"]
    for place in range(3):
        line = [*words[:place], "--config", "missing", *words[place:]]
        assert "there is no file missing; check --config" in run(*line).stderr


def test_every_parameter_has_a_help() -> None:
    commands = list(GROUP.commands.values())  # type: ignore[attr-defined]
    for command in commands:
        assert command.help
        for parameter in command.params:
            assert getattr(parameter, "help", None), f"{command.name} {parameter.name}"
        commands += getattr(command, "commands", {}).values()


def test_help_shows_the_defaults(run: Callable[..., Ended]) -> None:
    shown = run("get", "--help").stdout
    for default in ("default: as measured", "default 8MiB", "default 256MiB"):
        assert default in shown


def test_no_arguments_show_the_help(run: Callable[..., Ended]) -> None:
    ended = run()
    assert "Usage: sealift" in ended.stdout + ended.stderr
    assert ended.status == 2


@pytest.mark.parametrize("words", [("--version",), ("--json", "--version")])
def test_version(
    run: Callable[..., Ended], run_process: Callable[..., Ended], words: tuple[str, ...]
) -> None:
    expected = Ended(0, f"sealift {sealift.__version__}\n", "")
    assert run(*words) == expected
    assert run_process(*words) == expected


def test_help_in_a_process_of_its_own(run_process: Callable[..., Ended]) -> None:
    ended = run_process("--help")
    assert (ended.status, ended.stderr) == (0, "")


# Shared options


VALUES = {
    "endpoint_url": "https://e", "profile": "p", "region": "r", "ca_bundle": "c", "env_file": "e",
    "log_file": "l", "metrics_file": "m.prom",
    "key_file": "k", "key_dir": "d", "key_command": "c", "config": "f",
    "quiet": True, "json": True, "no_progress": True, "log_level": "info",
    "concurrency": 7, "part_size": "6MiB", "memory": "1GiB", "max_bandwidth": "1MiB",
    "sse": "kms:k",
}  # fmt: skip


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[Shared]:
    """What commands were given as shared options, in place of running them."""
    got: list[Shared] = []
    monkeypatch.setattr("sealift.cli.demo.run_demo", lambda shared, keep: got.append(shared))
    return got


def test_the_list_of_shared_options_is_whole() -> None:
    assert set(VALUES) == set(Shared.__dataclass_fields__)
    names = {f"--{name.replace('_', '-')}" for name in VALUES} | {"-j"}
    assert names == set(SHARED)


@pytest.mark.parametrize("name", VALUES)
def test_shared_options_before_and_after_the_command(
    run: Callable[..., Ended], parsed: list[Shared], name: str
) -> None:
    value = VALUES[name]
    words = [f"--{name.replace('_', '-')}"] + ([] if value is True else [str(value)])
    assert run(*words, "demo").status == 0
    assert run("demo", *words).status == 0
    assert parsed == [Shared(**{name: value})] * 2  # type: ignore[arg-type]


def test_after_the_command_goes_before_before_it(
    run: Callable[..., Ended], parsed: list[Shared]
) -> None:
    run("--region", "one", "-j", "3", "--quiet", "demo", "--region", "two", "--json")
    assert parsed == [Shared(region="two", concurrency=3, quiet=True, json=True)]


def test_one_command_does_not_inherit_from_the_one_before(
    run: Callable[..., Ended], parsed: list[Shared]
) -> None:
    run("--region", "one", "demo")
    run("demo")
    assert parsed[1] == Shared()


# Output


def lines_of(text: str) -> list[dict[str, object]]:
    assert text.isascii()
    return [json.loads(line) for line in text.splitlines()]


def test_json_of_transfers(run: Callable[..., Ended], server: FaultServer, work: Path) -> None:
    names = ["a", 'quo"te', "new\nline", "é", "d/e"]
    for name in names:
        path = work / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (work / "tree/link").symlink_to("a")
    up = run("cp", "tree/", "s3://bucket/t/", "--json")
    down = run("--json", "restore", "s3://bucket/t/", "back")
    for ended, direction in ((up, "upload"), (down, "download")):
        assert (ended.status, ended.stderr) == (0, ""), ended
        *events, summary = lines_of(ended.stdout)
        done = [event for event in events if event["event"] == "done"]
        assert {event["location"] for event in done} == {f"s3://bucket/t/{name}" for name in names}
        assert {event["direction"] for event in done} == {direction}
        assert (summary["event"], summary["status"]) == ("summary", "complete")
        assert summary["done_count"] == len(names)
        assert summary["key_id"] == CustomerKey(RAW_KEY).key_id
    assert {path.name for path in (work / "back").iterdir()} == {
        "a",
        'quo"te',
        "new\nline",
        "é",
        "d",
    }


def test_json_of_failures(run: Callable[..., Ended], server: FaultServer) -> None:
    server.store("p/../escape", b"x", customer_key=RAW_KEY)
    server.store("p/fine", b"x", customer_key=RAW_KEY)
    ended = run("restore", "s3://bucket/p/", "back", "--json")
    assert ended.status == 1
    events = {line["event"]: line for line in lines_of(ended.stdout)}
    assert events["failed"]["type"] == "UnsafeNameError"
    assert events["done"]["name"] == "fine"
    assert events["summary"]["status"] == "failed"


def test_json_of_ls_and_stat(run: Callable[..., Ended], server: FaultServer) -> None:
    server.store("p/one", b"x", customer_key=RAW_KEY)
    server.store("p/é\n", b"xy", customer_key=RAW_KEY)
    server.store("p/deep/z", b"x", customer_key=RAW_KEY)
    ended = run("ls", "s3://bucket/p/", "--json")
    assert (ended.status, ended.stderr) == (0, "")
    listed = lines_of(ended.stdout)
    assert [entry.get("name", entry.get("prefix")) for entry in listed] == [
        "p/deep/", "p/one", "p/é\n",
    ]  # fmt: skip
    ended = run("stat", "s3://bucket/p/one", "--json")
    assert (ended.status, ended.stderr) == (0, "")
    (facts,) = lines_of(ended.stdout)
    assert facts["size"] == 1
    assert facts["key_id"] == CustomerKey(RAW_KEY).key_id


def test_put_and_get_by_env_alone(run: Callable[..., Ended], server: FaultServer) -> None:
    """The two scripts that sealift grew from."""
    assert run("put").status == 0
    ended = run("get")
    assert ended.status == 0
    path = Path(ended.stdout.rstrip("\n"))
    assert re.fullmatch(r"tmp/[0-9a-f-]{36}\.bin", str(path))
    assert path.read_bytes() == b"content"


def test_stdout_is_data_alone(run: Callable[..., Ended], server: FaultServer) -> None:
    for words in (("cp", "name.bin", "s3://bucket/"), ("restore", "s3://bucket/", "back")):
        ended = run(*words)
        assert (ended.status, ended.stdout) == (0, ""), ended
        assert ended.stderr
        assert run(*words, "--quiet").stderr == ""


def test_no_output_shows_the_key(run: Callable[..., Ended], server: FaultServer) -> None:
    customer_key = CustomerKey(RAW_KEY)
    secrets = (dict(customer_key.headers())["x-amz-server-side-encryption-customer-key"],
               customer_key.md5, RAW_KEY.hex())  # fmt: skip
    for words in (("put",), ("get",), ("stat",), ("ls",), ("get", "s3://bucket/missing", "x")):
        for more in (("--json",), ("--log-level", "debug")):
            ended = run(*words, *more)
            assert not any(secret in ended.stdout + ended.stderr for secret in secrets)
