"""Commands around transfers, as typer is shown them: what is unfinished, what a server can do."""

from __future__ import annotations

from typing import Annotated

import typer

from sealift.cli.measuring import Measuring
from sealift.cli.shared import Shared
from sealift.cli.typed import GO_ON, MEASURE, with_options

upkeep_app = typer.Typer()


@upkeep_app.command(rich_help_panel=GO_ON)
@with_options
def jobs(shared: Shared) -> None:
    """List unfinished runs: what was killed, interrupted or failed in part."""
    from sealift.cli import commands

    commands.jobs(shared)


@upkeep_app.command(rich_help_panel=GO_ON)
@with_options
def resume(
    shared: Shared,
    run: Annotated[
        str | None, typer.Argument(help="One of jobs, or how its name begins. (default: all)")
    ] = None,
) -> None:
    """Run the commands of unfinished runs again: they go on where they were."""
    from sealift.cli import commands

    commands.resume(shared, run)


@upkeep_app.command(rich_help_panel=GO_ON)
@with_options
def clean(
    shared: Shared,
    run: Annotated[
        str | None, typer.Argument(help="One of jobs, or how its name begins. (default: all)")
    ] = None,
    older_than: Annotated[
        str, typer.Option(metavar="SPAN", help="Only runs begun so long ago: 90s, 30m, 12h, 7d.")
    ] = "0s",
) -> None:
    """Undo unfinished runs: abort their uploads, remove their temporary files, forget them.

    Uploads that the journal does not name are left alone, whoever began them.
    """
    from sealift.cli import commands

    commands.clean(shared, run, older_than)


@upkeep_app.command(rich_help_panel=MEASURE)
@with_options
def doctor(
    shared: Shared,
    uri: Annotated[
        str | None, typer.Argument(help="s3://BUCKET/PREFIX. (default: BUCKET_NAME)")
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Where downloads are to go. (default: tmp, else here)"),
    ] = None,
    allow_sse_c: Annotated[
        bool,
        typer.Option(
            "--allow-sse-c",
            help="Do one thing only: let the bucket take objects under customer keys.",
        ),
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="With --allow-sse-c: do so without asking.")
    ] = False,
) -> None:
    """Look at key, disk, endpoint, rights and bucket, and say what to do; leaves nothing behind.

    Writes, reads and removes a small object below the URI.
    """
    from sealift.cli.doctor import run_doctor

    run_doctor(shared, uri, target, allow_sse_c, yes)


@upkeep_app.command(rich_help_panel=MEASURE)
@with_options
def bench(
    shared: Shared,
    measuring: Measuring,
    uri: Annotated[
        str | None,
        typer.Argument(help="s3://BUCKET/PREFIX. (default: BUCKET_NAME, else one started here)"),
    ] = None,
) -> None:
    """Measure an endpoint, up and down, and recommend settings; what it stores it removes.

    Object sizes, part sizes and requests in flight are tried in turn, for two minutes or so. The
    data is made in memory: what is measured is what cp gets without the disk.
    """
    from sealift.cli.bench import run_bench

    run_bench(shared, uri, measuring)


@upkeep_app.command(rich_help_panel=MEASURE)
@with_options
def demo(
    shared: Shared,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the files for a look.")] = False,
) -> None:
    """Show the whole thing on an S3 server started on this machine."""
    from sealift.cli.demo import run_demo

    run_demo(shared, keep=keep)
