"""A short soak; `make soak` has longer ones."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.soak.commands import Broken
from tests.soak.rounds import PREFIX, Soak

from sealift.embedded import S3Server
from sealift.journal import Journal
from sealift.records import RunRecord

SECONDS = 30.0
# Three times the faults of a long soak: it has little time to meet them.
RATE = 0.1


def test_nothing_is_lost_and_nothing_left_over(server: S3Server, tmp_path: Path) -> None:
    soak = Soak(server, tmp_path, seed=7, rate=RATE)

    soak.run(SECONDS)

    assert soak.summary.rounds > 0
    assert soak.summary.faults.total() > 0
    print(soak.summary)


@pytest.mark.parametrize("server", ["ministack"], indirect=True)
def test_a_soak_finds_what_is_lost_or_left_over(server: S3Server, tmp_path: Path) -> None:
    soak = Soak(server, tmp_path, seed=7)
    with soak.open():
        site, target = soak.site, soak.work / "back"
        files = sorted(soak.tree.files(), key=lambda path: path.stat().st_size)
        for path in files[3:]:
            path.unlink()
        shutil.copytree(soak.tree.root, target)
        for path in files[:3]:
            site.boto_put(PREFIX + str(path.relative_to(soak.tree.root)), path.read_bytes())
        soak.check_bucket()
        soak.check_target(target)
        soak.check_left_over()

        site.boto_put(f"{PREFIX}more", b"")
        with pytest.raises(Broken, match="bucket is not as the tree in"):
            soak.check_bucket()
        altered = target / files[0].relative_to(soak.tree.root)
        altered.write_bytes(altered.read_bytes() + b"x")
        with pytest.raises(Broken, match="back is not as the tree"):
            soak.check_target(target)
        trace = soak.state / "trace"
        soak.state.mkdir(exist_ok=True)
        trace.write_bytes(b"x" + site.seal["SSECustomerKey"].hex().encode())
        with pytest.raises(Broken, match="customer key"):
            soak.check_left_over()
        run = RunRecord("0" * 16, 1.0, ("cp",), str(soak.work), "scope", None)
        journal = Journal(str(soak.state / "sealift"), run)
        journal.open()
        journal.close(finished=False)
        with pytest.raises(Broken, match="journal"):
            soak.check_left_over()
        (target / ".sealift-0123456789abcdef-0.tmp").touch()
        with pytest.raises(Broken, match="temporary files"):
            soak.check_left_over()
        site.boto.create_multipart_upload(Bucket=site.bucket, Key="large")
        with pytest.raises(Broken, match="unfinished uploads"):
            soak.check_left_over()
