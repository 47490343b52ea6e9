"""Each file of examples/ runs as a program, as it tells its readers to."""

from __future__ import annotations

import secrets
import subprocess
import sys
from pathlib import Path

import pytest
from tests.contract.site import Site

from sealift.keys import CustomerKey

EXAMPLES = Path(__file__).parents[2] / "examples"
TREE = {f"d{number % 3}/{number}.bin": secrets.token_bytes(number * 1000) for number in range(12)}

on_ministack = pytest.mark.parametrize("server", ["ministack"], indirect=True)


def run(site: Site, example: str, *arguments: object, status: int = 0, **env: str) -> str:
    ended = subprocess.run(
        [sys.executable, "-W", "error", EXAMPLES / f"{example}.py", *map(str, arguments)],
        cwd=site.work,
        env=site.environment(**env),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stderr == "") == (status, not status), ended.stderr
    return ended.stdout


def plant(site: Site) -> None:
    for name, content in TREE.items():
        path = site.work / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def planted(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*.bin")}


@on_ministack
def test_sync_and_restore(site: Site) -> None:
    plant(site)
    assert "12 moved" in run(site, "sync", "photos", site.uri("photos"))
    (site.work / "photos/d0/0.bin").unlink()
    again = run(site, "sync", "photos", site.uri("photos"))
    assert "0 moved (0 bytes), 1 removed" in again
    assert "11 were the same" in again
    back = run(site, "restore", site.uri("photos/"), "restored")
    assert back == "11 files restored, 11 objects sealed\n"
    assert planted(site.work / "restored") == planted(site.work / "photos")
    (site.work / "restored/d1/1.bin").write_bytes(b"other")
    (site.work / "restored/more.bin").touch()
    run(site, "restore", site.uri("photos/"), "restored", status=1)


@on_ministack
def test_progress(site: Site) -> None:
    plant(site)
    lines = run(site, "progress_events", "photos/", site.uri("photos/")).splitlines()
    size = sum(map(len, TREE.values()))
    assert sorted(line.split()[-1] for line in lines) == [f"photos/{name}" for name in sorted(TREE)]
    assert lines[-1].split()[:3] == [str(size), "of", str(size)]


@on_ministack
def test_one_file_without_await(site: Site) -> None:
    (site.work / "report.pdf").write_bytes(b"%PDF" * 5000)
    path = run(site, "blocking_script", "report.pdf", site.uri("report.pdf")).strip()
    assert path.startswith("tmp/")
    assert (site.work / path).read_bytes() == b"%PDF" * 5000


@on_ministack
def test_rotation(site: Site) -> None:
    plant(site)
    run(site, "sync", "photos", site.uri("photos"))
    keys = site.work / "keys"
    keys.mkdir(mode=0o700)
    key = CustomerKey.generate()
    new = keys / "new.env"
    new.write_text(key.env_lines())
    new.chmod(0o600)
    said = run(site, "rotate_keys", site.uri("photos/"), key.key_id, SEALIFT_KEY_DIR="keys")
    assert said == f"12 rekeyed, 12 under {key.key_id}\n"


def test_no_example_is_left_out() -> None:
    tried = Path(__file__).read_text()
    assert all(f'"{path.stem}"' in tried for path in EXAMPLES.glob("*.py"))
