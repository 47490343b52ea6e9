"""The options of `sync`: how to tell what differs, and what is removed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

if TYPE_CHECKING:
    import typer

    from sealift.sync import SyncOptions


@dataclass(frozen=True)
class Syncing:
    """Options as typed; None and False mean "not given"."""

    size_only: Annotated[
        bool, typer.Option("--size-only", help="Same size means same content.")
    ] = False
    checksum: Annotated[
        bool,
        typer.Option("--checksum", help="Compare CRC64NVME where the catalogue does not tell."),
    ] = False
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Ask every object, and make the catalogue anew.")
    ] = False
    delete: Annotated[
        bool, typer.Option("--delete", help="Remove what only DST has, if all went well.")
    ] = False
    max_delete: Annotated[
        int | None, typer.Option(metavar="N", min=0, help="Remove nothing if it were more.")
    ] = None
    force: Annotated[bool, typer.Option("--force", help="With --delete, even if SRC is empty.")] = (
        False
    )
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would happen; touch nothing.")
    ] = False

    manifest: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Write what DST holds then, one JSON object a line."),
    ] = None

    lock_wait: Annotated[
        str,
        typer.Option(metavar="SPAN", help="Wait so long for another run between SRC and DST."),
    ] = "0s"

    def options(self) -> SyncOptions:
        """The same for the engine. UsageError when they contradict each other."""
        from sealift.compare import Method
        from sealift.errors import UsageError
        from sealift.sync import SyncOptions

        methods = {
            Method.SIZE: self.size_only,
            Method.CHECKSUM: self.checksum,
            Method.REBUILD: self.rebuild,
        }
        chosen = [method for method, given in methods.items() if given]
        if len(chosen) > 1:
            raise UsageError(
                "--size-only, --checksum and --rebuild exclude each other", hint="give one"
            )
        if (self.force or self.max_delete is not None) and not self.delete:
            raise UsageError("--force and --max-delete are about --delete", hint="add --delete")
        return SyncOptions(
            method=chosen[0] if chosen else Method.TIMES,
            delete=self.delete,
            max_delete=self.max_delete,
            force=self.force,
            dry_run=self.dry_run,
            manifest=self.manifest,
        )
