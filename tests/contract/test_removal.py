"""`rm`, `cat` and `ls --recursive` on real servers."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.contract.site import PART_SIZE, Site, make_tree, noise

from sealift.keys import CustomerKey

ODD = [
    "\x01", "a\x1b[2J", "&<>\"'", "]]>", "&amp;", "emoji \U0001f600", "a+b", "a%2Fb", "marker/",
    "a//b", " lead", "trail ", "tab\tx", "line\nx", "return\rx", "\ufffe", "\x7f", "é", "e\u0301",
]  # fmt: skip


def put_many(site: Site, names: list[str]) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: site.boto_put(name, b"x", {}), names))


def put_numbers(site: Site, prefix: str, count: int) -> list[str]:
    """Store `count` objects of one byte; their names."""
    names = [f"{number:04}" for number in range(count)]
    tree = make_tree(site.work / "tree", dict.fromkeys(names, b"x"))
    assert not site.copy(f"{tree}/", site.uri(prefix)).failed
    return [prefix + name for name in names]


def test_2500_objects_with_odd_names(site: Site) -> None:
    kept = ["p", "p2/x", "lead", "trail"]
    put_numbers(site, "p/", 2500 - len(ODD))
    put_many(site, [*(f"p/{name}" for name in ODD), *kept])
    put_many(site, [f"edge{name}" if name[0] != " " else name for name in ODD])
    without_key = site.environment(SSE_CUSTOMER_KEY_BASE64=None)

    ended = site.cli("rm", "--recursive", "--yes", "--json", site.uri("p"), env=without_key)

    assert ended.status == 0, ended.stderr
    *lines, summary = [json.loads(line) for line in ended.stdout.splitlines()]
    assert len({line["name"] for line in lines}) == summary["removed_count"] == 2500
    left = sorted([*kept, *(f"edge{name}" if name[0] != " " else name for name in ODD)])
    assert site.names() == left
    assert site.cli("rm", "--quiet", site.uri(" lead")).status == 0
    assert site.names() == sorted(set(left) - {" lead"})


def test_a_versioned_bucket_keeps_the_versions(site: Site) -> None:
    site.boto.put_bucket_versioning(
        Bucket=site.bucket, VersioningConfiguration={"Status": "Enabled"}
    )
    put_many(site, ["p/a", "p/b"])
    assert site.cli("rm", "--yes", site.uri("p/")).status == 0
    assert site.names() == []
    versions = site.boto.list_object_versions(Bucket=site.bucket)
    assert len(versions["Versions"]) == len(versions["DeleteMarkers"]) == 2


@pytest.mark.parametrize("size", [0, 5, 2 * PART_SIZE + 7], ids=["empty", "small", "multipart"])
def test_cat(site: Site, size: int) -> None:
    content = noise(size)
    (site.work / "file").write_bytes(content)
    site.copy(site.work / "file", site.uri())
    child = site.start("cat", site.uri("file"), "--part-size", "5MiB")
    out, err = child.communicate(timeout=30)
    assert (child.returncode, err) == (0, b"")
    assert out == content


def test_cat_into_a_reader_that_has_seen_enough(site: Site) -> None:
    site.boto_put("large", noise(2 * PART_SIZE))
    command = f"'{sys.executable}' -m sealift cat {site.uri('large')} | head -c 10 | wc -c; "
    ended = subprocess.run(
        ["/bin/bash", "-c", command + "exit ${PIPESTATUS[0]}"],
        env=site.environment(), cwd=site.work, capture_output=True, text=True, timeout=30,
        check=False,
    )  # fmt: skip
    assert ended.stdout.strip() == "10"
    assert ended.stderr == ""
    status = subprocess.run(
        ["/bin/bash", "-c", command.rpartition("| wc")[0] + "; exit ${PIPESTATUS[0]}"],
        env=site.environment(), cwd=site.work, capture_output=True, timeout=30, check=False,
    )  # fmt: skip
    assert status.returncode == 1


def test_cat_with_a_wrong_key(site: Site) -> None:
    site.boto_put("sealed", b"content")
    other = CustomerKey(noise(32, 1)).env_lines().splitlines()
    ended = site.cli(
        "cat", site.uri("sealed"), env=site.environment(**dict(x.split("=", 1) for x in other))
    )
    assert (ended.status, ended.stdout) == (1, "")
    assert "key" in ended.stderr


def test_ls_recursive_over_two_pages(site: Site) -> None:
    names = sorted(["d/x", "d2/y", *put_numbers(site, "d/", 1003)])
    put_many(site, ["d/x", "d2/y"])

    shown = site.cli("ls", "--recursive", "--summarize", site.uri("d"))
    listed = site.cli("ls", "--recursive", "--summarize", "--json", site.uri("d/"))

    *lines, blank, number, size = shown.stdout.splitlines()
    assert [line.split()[-1] for line in lines] == names
    assert [blank, number, size] == ["", "Total Objects: 1005", "   Total Size: 1005"]
    *objects, summary = [json.loads(line) for line in listed.stdout.splitlines()]
    assert [entry["name"] for entry in objects] == names[:-1]
    assert summary == {"event": "summary", "count": 1004, "size": 1004}
