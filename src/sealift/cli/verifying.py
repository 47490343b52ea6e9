"""What `verify` does with its arguments, and prints of the report."""

from __future__ import annotations

from typing import NoReturn

from sealift.cli.running import execute, usage_checked
from sealift.cli.shared import Shared
from sealift.cli.tree import Chosen
from sealift.console.report import lines
from sealift.engine import Engine
from sealift.errors import UsageError
from sealift.model import Location
from sealift.verify.findings import VerifyOptions


def verify(
    shared: Shared,
    local: str | None,
    uri: str | None,
    chosen: Chosen,
    options: VerifyOptions,
    *,
    manifest: str | None,
) -> NoReturn:
    """Prove that both sides have the same content, and how it is sealed."""
    with usage_checked(shared) as settings:
        place, remote = _sides(local, uri, manifest)
        if (options.key_id is not None or options.all_versions) and not options.is_sealed:
            raise UsageError("--key and --all-versions are about --sealed", hint="add --sealed")
        tree = chosen.options()
    report: list[str] = []

    async def command(engine: Engine) -> None:
        if manifest is not None:
            found = await engine.verify_manifest(manifest, options)
        else:
            assert remote is not None
            found = await engine.verify(place, remote, options, tree)
        report.extend(lines(found))

    sides = " ".join(str(side) for side in (manifest, place, remote) if side is not None)
    execute(
        shared,
        settings,
        command,
        heading=f"verify {sides}",
        answer=report,
        answers_failure=True,
        writes=False,
    )


def _sides(
    local: str | None, uri: str | None, manifest: str | None
) -> tuple[str | None, Location | None]:
    """Both sides as typed; a single one is the URI, unless a manifest stands for both."""
    if manifest is not None:
        if local is not None:
            raise UsageError("--manifest stands for both sides", hint="name it alone")
        return None, None
    if local is None:
        raise UsageError("nothing is named", hint="give LOCAL and URI, or --manifest FILE")
    if uri is None:
        return None, Location.parse(local)
    if local.startswith("s3://"):
        raise UsageError(f"{local} is not on this machine", hint="give LOCAL first, then URI")
    return local, Location.parse(uri)
