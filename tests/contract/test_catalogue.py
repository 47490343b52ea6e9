"""What is recorded of an object is what LIST shows of it, on every server."""

from __future__ import annotations

from pathlib import Path

from tests.contract.site import Site, make_tree, noise

from sealift.catalogue import Catalogue
from sealift.checksums import crc64
from sealift.model import Known, bare_etag

FILES = {
    "small": b"small",
    "empty": b"",
    "d/ü%": b"x",
    "large": noise(11 << 20),
    "part": noise(6 << 20),
}


def recorded(site: Site, state: Path) -> dict[str, Known]:
    catalogue = Catalogue(str(state / "catalogue.sqlite3"))
    try:
        rows = catalogue.known(f"{site.server.endpoint_url}/{site.bucket}", "")
    finally:
        catalogue.close()
    return {row.name: row for row in rows}


def test_list_shows_the_size_and_etag_recorded(site: Site, tmp_path: Path) -> None:
    tree = make_tree(site.work / "tree", FILES)
    up, down = tmp_path / "up", tmp_path / "down"
    site.copy(f"{tree}/", site.uri(), state_directory=str(up))
    site.restore("", "back", state_directory=str(down))

    listed = site.boto.list_objects_v2(Bucket=site.bucket)["Contents"]
    shown = {entry["Key"]: (entry["Size"], bare_etag(entry["ETag"])) for entry in listed}
    for state, root in ((up, tree), (down, site.work / "back")):
        rows = recorded(site, state)
        assert {name: (row.size, row.etag) for name, row in rows.items()} == shown
        assert {name: row.crc for name, row in rows.items()} == {
            name: crc64(content) for name, content in FILES.items()
        }
        assert {name: row.mtime_ns for name, row in rows.items()} == {
            name: (root / name).stat().st_mtime_ns for name in FILES
        }
        assert {row.key_id for row in rows.values()} == {site.customer_key.key_id}
    assert len(recorded(site, up)) == len(FILES)
    assert "-" in recorded(site, up)["large"].etag


def test_versions_are_recorded(site: Site, tmp_path: Path) -> None:
    site.boto.put_bucket_versioning(
        Bucket=site.bucket, VersioningConfiguration={"Status": "Enabled"}
    )
    tree = make_tree(site.work / "tree", FILES)
    up, down = tmp_path / "up", tmp_path / "down"
    site.copy(f"{tree}/", site.uri(), state_directory=str(up))
    site.restore("", "back", state_directory=str(down))
    versions = {
        entry["Key"]: entry["VersionId"]
        for entry in site.boto.list_object_versions(Bucket=site.bucket)["Versions"]
    }
    for state in (up, down):
        rows = recorded(site, state)
        assert {name: row.version_id for name, row in rows.items()} == versions
