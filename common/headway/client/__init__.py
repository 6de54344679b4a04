"""The HTTP client of the coordinator's API: one method a route, answers as plain JSON values.

It knows addresses, tokens, problem+json and what may be sent twice; it knows no command line and
no database. Every failure is one of the families of `headway.errors`. The `headway` command and
Python programs call it.
"""

from __future__ import annotations

from headway.client.api import Client

__all__ = ["Client"]
