"""The pages for a browser: the last runs, one run, and signing in. Plain HTML, no build step.

A page is drawn from the same query as the API's JSON; it reads, and never decides or changes
anything. Whatever comes from users or steps is data: escaped, isolated in its direction, its
control characters made visible. Called by `bootstrap`, which hands `page_routes` to the API's app.
"""

from headway_coordinator.page.routes import page_routes

__all__ = ["page_routes"]
