"""`python -m workbench prefix A.json B.json`: why a Thinker had to read a session's prompt anew."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from workbench.errors import ConfigurationError, InvalidRequest
from workbench.messages import Prompt, parse_prompt
from workbench.prefix import Continued, Parting, compare, estimated_tokens


def prefix(
    first: Annotated[Path, typer.Argument(help="An earlier request's body, as JSON.")],
    second: Annotated[Path, typer.Argument(help="A later request's body of the same session.")],
) -> None:
    """Show where the canonical prompts of two requests part, and what of a Thinker's KV cache is lost by it."""
    try:
        a, b = _read(first), _read(second)
        typer.echo(describe(compare(a, b)))
    except (ConfigurationError, InvalidRequest) as error:
        typer.echo(f"workbench prefix: {error}", err=True)
        raise typer.Exit(2) from None
    if a.model != b.model:
        typer.echo(f"They ask for {a.model!r} and {b.model!r}: where these are two models, nothing is shared at all.")


def describe(found: Parting | Continued) -> str:
    """The outcome in words, its tokens marked as the estimates that they are."""
    match found:
        case Continued(shared_bytes, new_bytes):
            return (
                f"The second goes on where the first ends: {_size(shared_bytes)} are shared, {_size(new_bytes)} "
                "are new, nothing is lost."
            )
        case Parting():
            ours, theirs = found.excerpts
            return (
                f"They part at byte {found.shared_bytes} of the canonical prompt: {found.where}, byte "
                f"{found.byte_in_part} there.\n"
                f"  first:  {ours}\n  second: {theirs}\n"
                f"Shared: {_size(found.shared_bytes)}. Lost of the first: {_size(found.lost_bytes)}. "
                f"To be read anew for the second: {_size(found.new_bytes)}."
            )


def _size(size_bytes: int) -> str:
    return f"{size_bytes:,} bytes (about {estimated_tokens(size_bytes):,} tokens, estimated)"


def _read(path: Path) -> Prompt:
    try:
        return parse_prompt(path.read_bytes())
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror or error}; expected a request's body as JSON") from None
    except InvalidRequest as error:
        raise InvalidRequest(f"{path}: {error}") from None
