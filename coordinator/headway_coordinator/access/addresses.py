"""Where a browser may be sent after it signed in."""

from __future__ import annotations

from urllib.parse import urlsplit


def local_path(wanted: str | None) -> str:
    """Return `wanted` if it is a path on this very server, else `/`.

    Browsers read a backslash as a slash and drop tabs and line ends, so none may be in it.
    """
    if not wanted or len(wanted) > 2000 or not wanted.startswith("/"):
        return "/"
    if wanted.startswith("//") or "\\" in wanted or not wanted.isprintable() or " " in wanted:
        return "/"
    try:
        parts = urlsplit(wanted)
    except ValueError:
        return "/"
    return "/" if parts.scheme or parts.netloc or parts.path.startswith("//") else wanted
