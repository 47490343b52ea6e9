"""The commands as typer is shown them; `commands` has what they do.

That is imported when a command runs, so that `--help` and completion answer at once.
"""

from __future__ import annotations

from typing import Annotated

import typer

from sealift import __version__
from sealift.cli.key_app import key_app
from sealift.cli.measuring import Measuring
from sealift.cli.rekeying import Rekeying
from sealift.cli.shared import Shared, SourceSide
from sealift.cli.syncing import Syncing
from sealift.cli.tree import Chosen, Tree
from sealift.cli.typed import Command, with_options
from sealift.plan import Naming

_IfAbsent = Annotated[
    bool, typer.Option("--if-absent", help="Leave an object as it is that is there already.")
]
_TagKeyId = Annotated[
    bool,
    typer.Option("--tag-key-id", help="Tag objects with the id of their customer key."),
]

_AllowUnsealed = Annotated[
    bool,
    typer.Option("--allow-unsealed", help="Take objects, too, that are under no customer key."),
]

app = typer.Typer(
    name="sealift",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(key_app, name="key")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"sealift {__version__}")
        raise typer.Exit


@app.callback()
@with_options
def sealift(
    shared: Shared,
    *,
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_print_version, help="Show the version."),
    ] = False,
) -> None:
    """Move directories to and from S3 under a customer key (SSE-C)."""


@app.command()
@with_options
def put(
    shared: Shared,
    file: Annotated[str | None, typer.Argument(help="The file. (default: KEY)")] = None,
    uri: Annotated[
        str | None, typer.Argument(help="s3://BUCKET/NAME. (default: in BUCKET_NAME)")
    ] = None,
    if_absent: _IfAbsent = False,
    tag_key_id: _TagKeyId = False,
) -> None:
    """Upload one file; without arguments what .env names."""
    from sealift.cli import commands

    commands.put(shared, file, uri, if_absent, tag_key_id)


@app.command()
@with_options
def get(
    shared: Shared,
    uri: Annotated[
        str | None, typer.Argument(help="s3://BUCKET/NAME. (default: KEY in BUCKET_NAME)")
    ] = None,
    dest: Annotated[
        str | None, typer.Argument(help="File or directory. (default: tmp/<uuid4><suffix>)")
    ] = None,
    allow_unsealed: _AllowUnsealed = False,
) -> None:
    """Download one object and print where it is; without arguments what .env names."""
    from sealift.cli import commands

    commands.get(shared, uri, dest, allow_unsealed)


@app.command(cls=Command)
@with_options
def cp(
    shared: Shared,
    tree: Tree,
    src: Annotated[str, typer.Argument(help="File, directory, object or prefix.")],
    dst: Annotated[str, typer.Argument(help="Where it goes; an s3:// URI if SRC is none.")],
    side: SourceSide,
    if_absent: _IfAbsent = False,
    allow_unsealed: _AllowUnsealed = False,
    tag_key_id: _TagKeyId = False,
) -> None:
    """Copy a file, tree, object or prefix, up, down, across. A trailing / means "the contents"."""
    from sealift.cli import commands

    commands.cp(shared, src, dst, tree, side, if_absent, allow_unsealed, tag_key_id)


@app.command(cls=Command)
@with_options
def restore(
    shared: Shared,
    tree: Tree,
    uri: Annotated[
        str, typer.Argument(help="s3://BUCKET/PREFIX; a trailing / means its contents.")
    ],
    dest: Annotated[str, typer.Argument(help="Directory to write below.")] = "tmp/",
    names: Annotated[
        Naming, typer.Option(help="Keep the objects' names, or make random ones.")
    ] = Naming.KEEP,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume/--no-resume",
            help="Leave alone what an earlier restore has brought back and nobody has changed.",
        ),
    ] = True,
    allow_unsealed: _AllowUnsealed = False,
) -> None:
    """Bring back everything under a prefix: verified, durable, several at once."""
    from sealift.cli import commands

    commands.restore(shared, uri, dest, names, tree, resume, allow_unsealed)


@app.command(cls=Command)
@with_options
def sync(
    shared: Shared,
    tree: Tree,
    syncing: Syncing,
    src: Annotated[str, typer.Argument(help="Directory, or s3://BUCKET/PREFIX: its contents.")],
    dst: Annotated[str, typer.Argument(help="What is made like it.")],
    side: SourceSide,
    allow_unsealed: _AllowUnsealed = False,
    tag_key_id: _TagKeyId = False,
) -> None:
    """Move what differs, up, down or across; a second run moves nothing."""
    from sealift.cli import commands

    commands.sync(shared, src, dst, tree, syncing, side, allow_unsealed, tag_key_id)


@app.command(cls=Command)
@with_options
def verify(
    shared: Shared,
    chosen: Chosen,
    local: Annotated[
        str | None, typer.Argument(help="Directory or file; left out: only the sealing of URI.")
    ] = None,
    uri: Annotated[
        str | None, typer.Argument(help="s3://BUCKET/PREFIX, of a file s3://BUCKET/NAME.")
    ] = None,
    sealed: Annotated[
        bool,
        typer.Option("--sealed", help="Also that no object can be read without its customer key."),
    ] = False,
    deep: Annotated[
        bool, typer.Option("--deep", help="Read all objects, whatever checksums are stored.")
    ] = False,
    key: Annotated[
        str | None,
        typer.Option("--key", metavar="ID", help="The key that --sealed expects, at hand too."),
    ] = None,
    all_versions: Annotated[
        bool,
        typer.Option("--all-versions", help="Of URI --sealed alone: older versions, too."),
    ] = False,
    manifest: Annotated[
        str | None,
        typer.Option(
            "--manifest", metavar="FILE", help="What sync --manifest wrote, in place of both sides."
        ),
    ] = None,
) -> None:
    """Prove that both sides have the same content, and how it is sealed; touches nothing.

    Prints a report; exit code 0 says that all is as it should be.
    """
    from sealift.cli.verifying import verify
    from sealift.verify.findings import VerifyOptions

    options = VerifyOptions(sealed, deep, key, all_versions)
    verify(shared, local, uri, chosen, options, manifest=manifest)


@app.command(cls=Command)
@with_options
def rekey(
    shared: Shared,
    uri: Annotated[
        str, typer.Argument(help="s3://BUCKET/NAME, or a prefix: all that is below it.")
    ],
    to_key: Annotated[
        str,
        typer.Option(metavar="ID", help="A key at hand, as its id begins; or none, s3, kms[:ID]."),
    ],
    rekeying: Rekeying,
) -> None:
    """Write objects anew in place under another customer key: on the server, or streamed."""
    from sealift.cli import commands

    commands.rekey(shared, uri, to_key, rekeying)


@app.command()
@with_options
def ls(
    shared: Shared,
    uri: Annotated[
        str | None, typer.Argument(help="s3://BUCKET/PREFIX. (default: BUCKET_NAME)")
    ] = None,
    recursive: Annotated[
        bool,
        typer.Option("--recursive", help="All objects whose names start so, by their whole names."),
    ] = False,
    summarize: Annotated[
        bool, typer.Option("--summarize", help="Add the number of objects and their bytes.")
    ] = False,
    human_readable: Annotated[
        bool, typer.Option("--human-readable", help="Show sizes as 1.5 MiB.")
    ] = False,
) -> None:
    """List objects and prefixes; needs no customer key."""
    from sealift.cli import commands

    commands.ls(shared, uri, recursive, summarize, human_readable)


@app.command()
@with_options
def stat(
    shared: Shared,
    uri: Annotated[
        str | None, typer.Argument(help="s3://BUCKET/NAME. (default: KEY in BUCKET_NAME)")
    ] = None,
    allow_unsealed: _AllowUnsealed = False,
) -> None:
    """Show an object's size, ETag, key id and checksum."""
    from sealift.cli import commands

    commands.stat(shared, uri, allow_unsealed)


@app.command()
@with_options
def cat(
    shared: Shared,
    uri: Annotated[
        str | None, typer.Argument(help="s3://BUCKET/NAME. (default: KEY in BUCKET_NAME)")
    ] = None,
    allow_unsealed: _AllowUnsealed = False,
) -> None:
    """Write an object's bytes to stdout, verified; the last of them only if all are right."""
    from sealift.cli import commands

    commands.cat(shared, uri, allow_unsealed)


@app.command()
@with_options
def rm(
    shared: Shared,
    uri: Annotated[str, typer.Argument(help="s3://BUCKET/NAME; a trailing / means all below it.")],
    recursive: Annotated[
        bool, typer.Option("--recursive", help="Remove all below URI/, and not URI itself.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Remove without asking.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only print what would be removed.")
    ] = False,
) -> None:
    """Remove an object, or everything below a prefix; needs no customer key.

    Prefixes are directories: below photos is photos/x, not photos2/x. Asks before it removes more
    than the one object named. Versioned buckets keep the objects behind delete markers.
    """
    from sealift.cli import commands

    commands.rm(shared, uri, recursive, yes, dry_run)


@app.command()
@with_options
def jobs(shared: Shared) -> None:
    """List unfinished runs: what was killed, interrupted or failed in part."""
    from sealift.cli import commands

    commands.jobs(shared)


@app.command()
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


@app.command()
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


@app.command()
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


@app.command()
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


@app.command()
@with_options
def demo(
    shared: Shared,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the files for a look.")] = False,
) -> None:
    """Show the whole thing on an S3 server started on this machine."""
    from sealift.cli.demo import run_demo

    run_demo(shared, keep=keep)
