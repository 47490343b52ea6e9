"""Groups of options: those that every command takes, and those of the source of a copy.

`Shared` goes before or after a command's name, `SourceSide` after it. They are the fields of these
classes, each written once. Their annotations are for typer: `typed` has it
read them, and nothing is loaded for them here.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Annotated, Literal

if TYPE_CHECKING:
    import typer


@dataclass(frozen=True)
class Shared:
    """Options as typed; None and False mean "not given"."""

    endpoint_url: Annotated[
        str | None, typer.Option(metavar="URL", help="The S3 endpoint, https only.")
    ] = None
    profile: Annotated[
        str | None, typer.Option(metavar="NAME", help="Profile of the AWS configuration.")
    ] = None
    region: Annotated[str | None, typer.Option(metavar="NAME", help="Region of the bucket.")] = None
    ca_bundle: Annotated[
        str | None, typer.Option(metavar="FILE", help="Certificates to trust, as PEM.")
    ] = None
    env_file: Annotated[
        str | None, typer.Option(metavar="FILE", help="Settings file in place of ./.env.")
    ] = None
    key_file: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="Customer key: 32 raw bytes, base64 or .env lines, mode 0600."
        ),
    ] = None
    key_dir: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Directory of key files (default: the user's own)."),
    ] = None
    key_command: Annotated[
        str | None,
        typer.Option(metavar="COMMAND", help="Program that prints a customer key, run directly."),
    ] = None
    config: Annotated[
        str | None, typer.Option(metavar="FILE", help="Key rules in place of ./sealift.toml.")
    ] = None
    sse: Annotated[
        str | None,
        typer.Option(
            metavar="KIND",
            help="What objects are encrypted by: c (the customer key), none, s3, kms, kms:KEY. "
            "(default: c)",
        ),
    ] = None
    quiet: Annotated[bool, typer.Option("--quiet", help="Say nothing but failures.")] = False
    json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a line on stdout.")
    ] = False
    no_progress: Annotated[
        bool, typer.Option("--no-progress", help="Show failures and the summary only.")
    ] = False
    log_level: Annotated[
        str | None,
        typer.Option(metavar="LEVEL", help="Log from this level on, to stderr or the log file."),
    ] = None
    log_file: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Append what happens, with times (level info)."),
    ] = None
    metrics_file: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Write totals for Prometheus, as FILE.prom."),
    ] = None
    concurrency: Annotated[
        int | None,
        typer.Option(
            "--concurrency", "-j", metavar="N", help="Requests in flight (default: as measured)."
        ),
    ] = None
    part_size: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Size of parts (default 8MiB).")
    ] = None
    memory: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Memory to use at most (default 256MiB).")
    ] = None
    max_bandwidth: Annotated[
        str | None, typer.Option(metavar="RATE", help="Bytes per second at most, as 50MiB.")
    ] = None

    def over(self, earlier: Shared) -> Shared:
        """These options where they were given, else the `earlier` ones."""
        given = {
            field.name: value
            for field in fields(self)
            if (value := getattr(self, field.name)) != field.default
        }
        return replace(earlier, **given)


@dataclass(frozen=True)
class SourceSide:
    """How the source of an s3-to-s3 copy is reached, as typed; None: as the destination is."""

    source_endpoint_url: Annotated[
        str | None, typer.Option(metavar="URL", help="Endpoint of the source, s3 to s3.")
    ] = None
    source_profile: Annotated[
        str | None, typer.Option(metavar="NAME", help="Profile of the source.")
    ] = None
    source_region: Annotated[
        str | None, typer.Option(metavar="NAME", help="Region of the source's bucket.")
    ] = None
    source_ca_bundle: Annotated[
        str | None, typer.Option(metavar="FILE", help="Certificates to trust for the source.")
    ] = None
    source_key_file: Annotated[
        str | None, typer.Option(metavar="FILE", help="Customer key of the source.")
    ] = None
    source_sse: Annotated[
        Literal["none", "s3", "kms", "c"] | None,
        typer.Option(
            help="What the source's objects are encrypted by: only c needs a customer key. "
            "(default: c if there is one)"
        ),
    ] = None


SAME_SIDE = SourceSide()
