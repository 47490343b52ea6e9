"""What `import sealift` gives: names that load late, and that type checkers see."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest

import sealift

USER_CODE = """
import sealift
from sealift import blocking

async def work(options: sealift.Options) -> int:
    async with sealift.Engine(options) as engine:
        report = await engine.sync("a", "s3://b/", sealift.SyncOptions(delete=True))
        async with engine.follow(engine.restore("s3://b/", "tmp/")) as run:
            async for event in run:
                if isinstance(event, sealift.Failed):
                    print(event.name, event.error.hint)
        reveal_type(run.report)
        reveal_type((await engine.get("s3://b/x")).path)
        await engine.sync(1, "s3://b/")  # wrong
        await engine.nothing()  # wrong
    return report.moved_count

def script() -> sealift.Report:
    with blocking.Engine(sealift.load_options(sealed=True)) as engine:
        engine.put(b"x", "s3://b/x")  # wrong
        reveal_type(engine.verify(None, "s3://b/"))
        return engine.copy("a", "s3://b/", sealift.TreeOptions(markers=True))
"""


def test_all_names_are_there_and_type_checkers_see_the_same() -> None:
    stub = ast.parse((resources.files("sealift") / "__init__.pyi").read_text())
    declared = {alias.asname for node in stub.body if isinstance(node, ast.ImportFrom)
                for alias in node.names}  # fmt: skip
    assert declared | {"__version__"} == set(sealift.__all__)
    for name in sealift.__all__:
        assert getattr(sealift, name) is not None
        assert name in dir(sealift)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        sealift.nothing  # noqa: B018


def test_import_loads_nothing_else() -> None:
    code = "import sys, sealift; print(*(name for name in sys.modules if 'sealift.' in name))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_programs_are_type_checked(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(USER_CODE)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file=", "program.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    lines = USER_CODE.splitlines()
    wrong = {number for number, line in enumerate(lines, 1) if line.endswith("# wrong")}
    errors = re.findall(r"^program\.py:(\d+): error: ", done.stdout, re.MULTILINE)
    notes = re.findall(r"^program\.py:\d+: note: (.*)$", done.stdout, re.MULTILINE)
    assert set(map(int, errors)) == wrong, done.stdout
    assert [note.removeprefix("Revealed type is ").strip('"') for note in notes] == [
        "sealift.report.Report",
        "str | None",
        "sealift.verify.findings.VerifyReport",
    ]


def test_the_docs_name_what_is_there() -> None:
    text = (Path(__file__).parents[2] / "docs/python.md").read_text()
    named = set(re.findall(r"\bsealift\.([A-Za-z]\w*)", text)) - {"toml"}
    assert named >= {"Engine", "load_options", "blocking"}
    assert named <= set(sealift.__all__)
    methods = re.search(r"## Commands\n\n(.*?)`Report`", text, re.DOTALL)
    assert methods
    for name in re.findall(r"`(\w+)`", methods[1]):
        assert callable(getattr(sealift.Engine, name))
        assert callable(getattr(sealift.blocking.Engine, name))
