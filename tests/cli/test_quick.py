"""What is read without typer is what typer reads."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pytest
import typer.main
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sealift.cli import commands, quick
from sealift.cli.app import app
from sealift.cli.shared import SAME_SIDE, Shared
from sealift.cli.syncing import Syncing
from sealift.cli.tree import Tree
from sealift.plan import Naming

OPTIONS = [f"--{field.name.replace('_', '-')}" for field in fields(Shared)]
WORDS = [
    *commands.COMMANDS, *OPTIONS, *OPTIONS, "demo", "-j", "-q", "--help", "-h", "--version",
    "--source-region", "--source-key-file",
    "--names", "--", "-", "", "8", "0", "-5", "08", "+8", "1_000", "8.0", "many", "x", "s3://b/ü ",
    "a=b", "-j8", "--region=x", "--quiet=1", "--no-quiet", "uuid", "\udcff", "--prof", "٣",
    "9999999999", "--recursive", "--yes", "-y", "--summarize", "--dry-run",
    "--delete", "--size-only", "--checksum", "--max-delete",
]  # fmt: skip


def by_typer(words: list[str]) -> quick.Line | None:
    """What typer would have run, or None where it runs nothing."""
    ran: list[quick.Line] = []

    def record(name: str) -> Callable[..., None]:
        def run(shared: Shared, *arguments: Any) -> None:
            ran.append(quick.Line(name, shared, list(arguments)))

        return run

    with pytest.MonkeyPatch.context() as patch:
        for name in commands.COMMANDS:
            patch.setattr(commands, name, record(name))
        try:
            app(words, prog_name="sealift")
        except SystemExit as end:
            if end.code:
                return None
    return ran[0] if ran else None


def filled(line: quick.Line) -> quick.Line:
    """With the defaults of the arguments that were left out."""
    defaults = {
        "put": [None, None, False, False],
        "get": [None, None, False],
        "cp": [Tree(), SAME_SIDE, False, False, False],
        "restore": ["tmp/", Naming.KEEP, Tree(), True, False],
        "ls": [None, False, False, False],
        "rm": [False, False, False],
        "sync": [Tree(), Syncing(), SAME_SIDE, False, False],
        "stat": [None, False],
        "cat": [None, False],
    }[line.command]
    count = {
        "put": 4, "get": 3, "cp": 7, "restore": 6, "ls": 4, "stat": 2, "cat": 2, "rm": 4,
        "sync": 7,
    }[line.command]  # fmt: skip
    given_count = len(line.arguments)
    missing = defaults[given_count - count :] if given_count < count else []
    return line._replace(arguments=[*line.arguments, *missing])


@settings(max_examples=400)
@given(words=st.lists(st.sampled_from(WORDS), max_size=7))
@example(words=["put"])
@example(words=["cp", "a", "b"])
@example(words=["sync", "a", "s3://b/", "--dry-run"])
@example(words=["--quiet", "sync", "--delete", "a", "--size-only", "s3://b/", "--delete"])
@example(words=["--delete", "sync", "a", "s3://b/"])
@example(words=["sync", "a", "s3://b/", "--max-delete", "8"])
@example(words=["cp", "--delete", "a", "s3://b/"])
@example(words=["sync", "a", "s3://b/"])
@example(words=["--quiet", "-j", "8", "cp", "-j", "9", "a", "--json", "b", "--region", "x"])
@example(words=["restore", "s3://b/", "--profile", "p", "back"])
@example(words=["ls", "--region", ""])
@example(words=["ls", "s3://b/", "--recursive", "--summarize"])
@example(words=["cat", "s3://b/x"])
@example(words=["rm", "s3://b/x", "--quiet"])
@example(words=["rm", "s3://b/x", "--yes"])
@example(words=["stat", "--concurrency", "8", "s3://b/x"])
@example(words=["get", "--memory", "1GiB", "s3://b/x", "-"])
def test_typer_reads_the_same(words: list[str]) -> None:
    line = quick.read(words)
    if line is not None:
        assert filled(line) == by_typer(words)


@pytest.mark.parametrize("command", commands.COMMANDS)
@pytest.mark.parametrize("option", OPTIONS)
def test_every_shared_option_is_read(command: str, option: str) -> None:
    field = option[2:].replace("-", "_")
    is_flag = Shared.__dataclass_fields__[field].default is False
    words = [option] if is_flag else [option, "7"]
    arguments = ["a"] * {"cp": 2, "restore": 1, "rm": 1, "sync": 2}.get(command, 0)
    for line in ([command, *words, *arguments], [*words, command, *arguments]):
        read = quick.read(line)
        assert read is not None
        assert read.shared == Shared(**{field: True if is_flag else 7 if "conc" in field else "7"})
        assert filled(read) == by_typer(line)


@pytest.mark.parametrize(
    "words",
    [
        ["cp", "a", "s3://b/"],
        ["--quiet", "cp", "-j", "8", "a", "--region=x", "s3://b/", "-j9", "--memory", "1GiB"],
        ["cp", "--json", "--profile", "cp", "a", "s3://b/", "--max-bandwidth"],
    ],
)
def test_the_aim_of_a_command_is_what_it_moves(words: list[str]) -> None:
    assert quick.aim(words) == ("cp", "a", "s3://b/")


def test_what_takes_part_belongs_to_the_aim() -> None:
    words = ["sync", "a", "s3://b/", "--exclude", "x", "--delete", "--links=follow"]
    assert quick.aim(words) == tuple(words)


def test_the_commands_that_start_fast_are_known() -> None:
    known = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    slow = {"bench", "clean", "demo", "doctor", "jobs", "key", "rekey", "resume", "verify"}
    assert known - slow == set(commands.COMMANDS)


@pytest.mark.parametrize(
    "words", [["--help"], ["demo"], ["put", "-h"], [], ["cp", "a"], ["put", "--x"]]
)
def test_the_rest_is_for_typer(words: list[str]) -> None:
    assert quick.read(words) is None


def test_plain_command_lines_load_no_typer(work: object) -> None:
    code = (
        "import sys; sys.argv[1:] = ['put', '--profile', 'nobody']\n"
        "from sealift.__main__ import main\n"
        "try: main()\n"
        "except SystemExit as end: print(end.code, {'typer', 'pydantic', 'rich.console'} "
        "& set(sys.modules))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=50
    )
    assert ended.stdout == "2 set()\n", ended


@pytest.mark.usefixtures("server")
def test_a_reader_that_has_seen_enough(work: object) -> None:
    command = f"'{sys.executable}' -m sealift"
    assert os.system(f"{command} put --quiet") == 0
    ended = subprocess.run(
        ["/bin/bash", "-c", f"(sleep 1; {command} ls; echo $? >&2) | true"],
        capture_output=True, text=True, check=False, timeout=50,
    )  # fmt: skip
    assert ended.stderr == "1\n"


@pytest.mark.parametrize(
    "words",
    ["", "--report a", "--report=a", "--manifest a", "-j 8 --report a --no-progress", "--region=x"],
)
def test_a_run_is_the_same_wherever_its_account_goes(words: str) -> None:
    """So that the one that goes on with a killed run ends it in `jobs` too."""
    moved = ["rekey", "s3://b/p/", "--to-key", "9d02"]
    assert quick.aim([*moved[:2], *words.split(), *moved[2:]]) == tuple(moved)


@pytest.mark.parametrize("words", ["--dry-run", "--from-key none", "--include *.jpg"])
def test_a_run_of_other_objects_is_another_one(words: str) -> None:
    moved = ["rekey", "s3://b/p/", "--to-key", "9d02"]
    assert quick.aim([*moved, *words.split()]) == (*moved, *words.split())
