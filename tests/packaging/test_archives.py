"""What is in the wheel and the sdist, and what is not."""

from __future__ import annotations

import re
import sys
import tarfile
import zipfile
from email import message_from_bytes
from email.message import Message
from pathlib import Path, PurePosixPath

import pytest
from tests.packaging.conftest import ROOT, Archives, run
from tests.packaging.manual import COMPLETIONS, PAGE

import sealift

SHARED = {
    f"man/man1/{PAGE}": PAGE,
    f"bash-completion/completions/{COMPLETIONS['bash']}": COMPLETIONS["bash"],
    f"zsh/site-functions/{COMPLETIONS['zsh']}": COMPLETIONS["zsh"],
    f"fish/vendor_completions.d/{COMPLETIONS['fish']}": COMPLETIONS["fish"],
}
# A customer key in base64, alone or in a line of .env.
KEY = re.compile(rb"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{43}=(?!=)")
PRIVATE_KEY = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----\n[A-Za-z0-9+/]{32}")


@pytest.fixture(scope="session")
def wheel(archives: Archives) -> dict[str, bytes]:
    """The content of each file in the wheel."""
    with zipfile.ZipFile(archives.wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="session")
def sdist(archives: Archives) -> dict[str, bytes]:
    """The content of each file in the sdist, by its name below the one directory."""
    with tarfile.open(archives.sdist) as archive:
        members = archive.getmembers()
        assert all(member.isfile() or member.isdir() for member in members)
        roots = {PurePosixPath(member.name).parts[0] for member in members}
        assert roots == {f"sealift-{sealift.__version__}"}
        files = [member for member in members if member.isfile()]
        return {
            member.name.partition("/")[2]: archive.extractfile(member).read()  # type: ignore[union-attr]
            for member in files
        }


@pytest.fixture(scope="session")
def metadata(wheel: dict[str, bytes]) -> Message:
    return message_from_bytes(wheel[f"sealift-{sealift.__version__}.dist-info/METADATA"])


def files_below(directory: Path) -> set[str]:
    return {str(each.relative_to(directory)) for each in directory.rglob("*") if each.is_file()}


def test_an_index_would_take_them(archives: Archives) -> None:
    told = run(sys.executable, "-m", "twine", "check", "--strict", archives.wheel, archives.sdist)
    assert told.count("PASSED") == 2


def test_the_wheel_is_the_package_and_what_it_shares(
    wheel: dict[str, bytes], archives: Archives
) -> None:
    assert archives.wheel.name == f"sealift-{sealift.__version__}-py3-none-any.whl"
    prefix = f"sealift-{sealift.__version__}"
    package = files_below(archives.source / "src/sealift")
    assert {"py.typed", "__init__.pyi", "ministack.lock"} <= package
    expected = {f"sealift/{name}" for name in package}
    expected |= {f"{prefix}.data/data/share/{name}" for name in SHARED}
    own = {"METADATA", "RECORD", "WHEEL", "entry_points.txt", "top_level.txt"}
    assert set(wheel) == expected | {f"{prefix}.dist-info/{name}" for name in own}
    for place, name in SHARED.items():
        shared = wheel[f"{prefix}.data/data/share/{place}"]
        assert shared == (ROOT / "docs/man" / name).read_bytes()


def test_the_sdist_is_all_of_the_project(sdist: dict[str, bytes], archives: Archives) -> None:
    """With the tests and what they need: who packages it for a system runs them there."""
    made = {name for name in sdist if name.startswith("src/sealift.egg-info/")}
    source = {
        name for name in files_below(archives.source) if not name.startswith("src/sealift.egg-info")
    }
    assert set(sdist) - made == source | {"PKG-INFO", "setup.cfg"}


def test_no_key_and_no_place_of_this_machine_is_in_them(
    wheel: dict[str, bytes], sdist: dict[str, bytes]
) -> None:
    assert KEY.search(b"SSE_CUSTOMER_KEY_BASE64=MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=")
    assert [name for name, content in wheel.items() if KEY.search(content)] == []
    places = re.compile(b"|".join(re.escape(str(each).encode()) for each in (ROOT, sys.prefix)))
    for name, content in (wheel | sdist).items():
        assert not PRIVATE_KEY.search(content), name
        assert not places.search(content), name


def test_no_remains_are_in_them(wheel: dict[str, bytes], sdist: dict[str, bytes]) -> None:
    remains = re.compile(r"(^|/)(__pycache__|\.[^/]+|build|tmp|.*\.(pyc|log|sqlite3?|tmp))(/|$)")
    assert remains.search("src/sealift/__pycache__/x.pyc")
    assert [name for name in (*wheel, *sdist) if remains.search(name)] == []


def test_metadata_say_what_it_is(metadata: Message) -> None:
    assert metadata["Version"] == sealift.__version__
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert str(metadata.get_payload()).lstrip().startswith("# sealift")
    classifiers = metadata.get_all("Classifier") or []
    minors = [int(found[1]) for each in classifiers if (found := re.search(r":: 3\.(\d+)$", each))]
    assert minors == [11, 12, 13, 14]
    assert not [each for each in classifiers if "Windows" in each or "OS Independent" in each]
    extras = set(metadata.get_all("Provides-Extra") or [])
    assert {"bench", "demo", "keyring"} <= extras
