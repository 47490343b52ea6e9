"""`put` and `get` do what the two scripts did that sealift grew from, with their `.env`."""

from __future__ import annotations

import re
from pathlib import Path

from tests.contract.site import Site, noise

UUID4 = "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"


def write_env(site: Site, **more: str) -> None:
    """The `.env` of the scripts."""
    lines = [f"BUCKET_NAME={site.bucket}", "KEY=photo.jpeg"]
    lines += [f"{name}={value}" for name, value in more.items()]
    (site.work / ".env").write_text("\n".join(lines) + "\n" + site.customer_key.env_lines())


def write_profile(site: Site, name: str) -> None:
    """An AWS configuration below HOME with everything that is no business of `.env`."""
    server = site.server
    aws = Path.home() / ".aws"
    (aws / "config").write_text(
        f"[profile {name}]\nregion = {server.region}\n"
        f"endpoint_url = {server.endpoint_url}\nca_bundle = {server.ca_file}\n"
    )
    (aws / "credentials").write_text(
        f"[{name}]\naws_access_key_id = {server.access_key}\n"
        f"aws_secret_access_key = {server.secret_key}\n"
    )


def bare_environment(site: Site) -> dict[str, str]:
    """No variable but those that every process has."""
    kept = ("PATH", "HOME", "LANG")
    return {name: value for name, value in site.environment().items() if name in kept}


def test_put_then_get_with_nothing_but_the_env_file(site: Site) -> None:
    photo = noise(100_000)
    (site.work / "photo.jpeg").write_bytes(photo)
    write_env(site, PROFILE="sea")
    write_profile(site, "sea")
    env = bare_environment(site)

    up = site.cli("put", env=env)
    assert (up.status, up.stdout) == (0, "")
    assert site.names() == ["photo.jpeg"]
    assert site.boto_get("photo.jpeg") == photo
    assert site.boto_head("photo.jpeg")["ContentType"] == "image/jpeg"

    down = site.cli("get", env=env)
    assert down.status == 0
    printed = down.stdout.removesuffix("\n")
    assert re.fullmatch(rf"tmp/{UUID4}\.jpeg", printed)
    assert (site.work / printed).read_bytes() == photo
    assert [path.name for path in (site.work / "tmp").iterdir()] == [Path(printed).name]


def test_env_file_whose_md5_belongs_to_another_key_is_refused(site: Site) -> None:
    (site.work / "photo.jpeg").write_bytes(b"x")
    write_env(site)
    text = (site.work / ".env").read_text()
    (site.work / ".env").write_text(
        re.sub("(?m)^(SSE_CUSTOMER_KEY_MD5)=.*$", r"\1=AAAAAAAAAAAAAAAAAAAAAA==", text)
    )
    env = site.environment(SSE_CUSTOMER_KEY_BASE64=None, SSE_CUSTOMER_KEY_MD5=None)

    ended = site.cli("put", env=env)

    assert ended.status == 2
    assert "SSE_CUSTOMER_KEY_MD5" in ended.stderr
    assert site.names() == []


def test_file_of_another_name_goes_where_the_uri_says(site: Site) -> None:
    (site.work / "a b.txt").write_bytes(b"text")
    name = "p/ü %2F?#+&.txt"

    up = site.cli("put", "a b.txt", site.uri(name))
    down = site.cli("get", site.uri(name), "back/")

    assert (up.status, down.status) == (0, 0)
    assert site.names() == [name]
    assert down.stdout == "back/ü %2F?#+&.txt\n"
    assert (site.work / "back" / "ü %2F?#+&.txt").read_bytes() == b"text"
