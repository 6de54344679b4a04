"""`python -m headway_worker` is `headway worker`."""

import typer

from headway_worker.cli import worker

typer.run(worker)
