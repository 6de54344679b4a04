"""`headway schema`: the JSON Schema of definitions, for editors."""

from __future__ import annotations

import json as json_text

import typer

from headway.cli.arguments import JsonOption


def register(app: typer.Typer) -> None:
    app.command("schema", help="Print the JSON Schema of definitions, for editors.")(schema)


def schema(json: JsonOption = False) -> int:
    """Print it; it is one JSON document either way."""
    from headway.spec import schema as made

    print(json_text.dumps(made(), ensure_ascii=False, indent=None if json else 2))
    return 0
