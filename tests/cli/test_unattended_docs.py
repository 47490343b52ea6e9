"""What docs/unattended.md tells users to copy is taken by the programs that it is for."""

from __future__ import annotations

import getpass
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from tests.programs import needs

from sealift.cli.wording import spoken, value_of
from sealift.console.metrics import Ended, render

DOC = (Path(__file__).parents[2] / "docs/unattended.md").read_text()
LABELS = {"command": "sync", "source": 'a "b"\\c', "destination": "s3://b/p"}
METRICS = render(Ended("1.0", LABELS, 1000.0, 1001.0, 1.0, 0, 0.0))


def block(marker: str) -> str:
    """The one block of the page that has this in it."""
    (found,) = [text for text in re.findall(r"```\w*\n(.*?)```", DOC, re.DOTALL) if marker in text]
    return str(found)


def check(*words: str | Path, stdin: str = "") -> str:
    ended = subprocess.run(
        words, input=stdin, capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 0, ended
    return ended.stdout + ended.stderr


def test_systemd_takes_the_units(tmp_path: Path) -> None:
    program = needs("systemd-analyze")
    # It looks for the program and the user on this machine.
    service = block("Type=oneshot").replace("/usr/bin/sealift", sys.executable)
    service = service.replace("User=backup", f"User={getpass.getuser()}")
    (tmp_path / "sealift-data.service").write_text(service)
    (tmp_path / "sealift-data.timer").write_text(block("OnCalendar="))
    for name in ("sealift-data.service", "sealift-data.timer"):
        said = check(program, "verify", "--man=no", tmp_path / name)
        assert "sealift-data" not in said


def test_logrotate_takes_its_snippet(tmp_path: Path) -> None:
    program = needs("logrotate")
    (tmp_path / "sealift").write_text(block("delaycompress"))
    (tmp_path / "sealift").chmod(0o644)
    said = check(program, "--debug", "--state", tmp_path / "state", tmp_path / "sealift")
    assert "error" not in said


def test_prometheus_takes_the_rules_and_the_metrics(tmp_path: Path) -> None:
    program = needs("promtool")
    (tmp_path / "rules.yml").write_text(block("groups:"))
    assert "5 rules found" in check(program, "check", "rules", tmp_path / "rules.yml")
    assert check(program, "check", "metrics", stdin=METRICS) == ""


def test_the_rules_are_about_metrics_that_exist() -> None:
    used = set(re.findall(r"sealift_run_\w+", block("groups:")))
    assert used
    assert used <= set(re.findall(r"^# TYPE (\w+) gauge$", METRICS, re.MULTILINE))


def test_the_table_has_all_metrics() -> None:
    table = DOC[DOC.index("| metric | |") : DOC.index("Every series has")]
    for name in re.findall(r"^# TYPE (\w+) gauge$", METRICS, re.MULTILINE):
        assert name in table.replace("`...", "`sealift_run"), name


@pytest.mark.parametrize("marker", ["--delete --max-delete", "Type=oneshot", "MAILTO="])
def test_the_command_lines_are_read_as_meant(marker: str) -> None:
    line = block(marker).replace("\\\n", " ")
    words = shlex.split(line[line.index("sealift --quiet") :].splitlines()[0])[1:]
    assert spoken(words) == ("sync", "/srv/data", "s3://bucket/data/")
    assert value_of(words, "--log-file") == "/var/log/sealift/data.log"
    assert str(value_of(words, "--metrics-file")).endswith(".prom")
