"""The commands as typer is shown them; `commands` has what they do.

That is imported when a command runs, so that `--help` and completion answer at once.
"""

from __future__ import annotations

from typing import Annotated

import typer

from sealift import __version__
from sealift.cli.key_app import key_app
from sealift.cli.object_app import AllowUnsealed, object_app
from sealift.cli.rekeying import Rekeying
from sealift.cli.shared import Shared, SourceSide
from sealift.cli.syncing import Syncing
from sealift.cli.tree import Chosen, Tree
from sealift.cli.typed import MOVE, PROVE, Command, with_options
from sealift.cli.upkeep_app import upkeep_app
from sealift.plan import Naming

_IfAbsent = Annotated[
    bool, typer.Option("--if-absent", help="Leave an object as it is that is there already.")
]
_TagKeyId = Annotated[
    bool,
    typer.Option("--tag-key-id", help="Tag objects with the id of their customer key."),
]


app = typer.Typer(
    name="sealift",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


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


@app.command(rich_help_panel=MOVE)
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


@app.command(rich_help_panel=MOVE)
@with_options
def get(
    shared: Shared,
    uri: Annotated[
        str | None, typer.Argument(help="s3://BUCKET/NAME. (default: KEY in BUCKET_NAME)")
    ] = None,
    dest: Annotated[
        str | None, typer.Argument(help="File or directory. (default: tmp/<uuid4><suffix>)")
    ] = None,
    allow_unsealed: AllowUnsealed = False,
) -> None:
    """Download one object and print where it is; without arguments what .env names."""
    from sealift.cli import commands

    commands.get(shared, uri, dest, allow_unsealed)


@app.command(cls=Command, rich_help_panel=MOVE)
@with_options
def cp(
    shared: Shared,
    tree: Tree,
    src: Annotated[str, typer.Argument(help="File, directory, object or prefix.")],
    dst: Annotated[str, typer.Argument(help="Where it goes; an s3:// URI if SRC is none.")],
    side: SourceSide,
    if_absent: _IfAbsent = False,
    allow_unsealed: AllowUnsealed = False,
    tag_key_id: _TagKeyId = False,
) -> None:
    """Copy a file, tree, object or prefix, up, down, across. A trailing / means "the contents"."""
    from sealift.cli import commands

    commands.cp(shared, src, dst, tree, side, if_absent, allow_unsealed, tag_key_id)


@app.command(cls=Command, rich_help_panel=MOVE)
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
    allow_unsealed: AllowUnsealed = False,
) -> None:
    """Bring back everything under a prefix: verified, durable, several at once."""
    from sealift.cli import commands

    commands.restore(shared, uri, dest, names, tree, resume, allow_unsealed)


@app.command(cls=Command, rich_help_panel=MOVE)
@with_options
def sync(
    shared: Shared,
    tree: Tree,
    syncing: Syncing,
    src: Annotated[str, typer.Argument(help="Directory, or s3://BUCKET/PREFIX: its contents.")],
    dst: Annotated[str, typer.Argument(help="What is made like it.")],
    side: SourceSide,
    allow_unsealed: AllowUnsealed = False,
    tag_key_id: _TagKeyId = False,
) -> None:
    """Move what differs, up, down or across; a second run moves nothing."""
    from sealift.cli import commands

    commands.sync(shared, src, dst, tree, syncing, side, allow_unsealed, tag_key_id)


@app.command(cls=Command, rich_help_panel=PROVE)
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


@app.command(cls=Command, rich_help_panel=PROVE)
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


# Without a name their commands are the app's own.
app.add_typer(object_app)
app.add_typer(upkeep_app)
app.add_typer(key_app, name="key", rich_help_panel=PROVE)
