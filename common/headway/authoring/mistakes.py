"""What an author said that cannot be a pipeline."""

from __future__ import annotations

from headway.authoring.sites import Given, Site, caller
from headway.errors import DefinitionError, Problem


class AuthoringError(DefinitionError):
    """A pipeline cannot be built as it is written; `where` is what the author gave wrongly."""

    def __init__(
        self,
        code: str,
        message: str,
        hint: str | None = None,
        *,
        where: Given | Site | None = None,
    ) -> None:
        place = where if where is not None else caller()
        self.where = place if isinstance(place, Given) else Given(None, place)
        self.place: tuple[str, int, int] | None = None  # where it is known better
        self.said = (code, message, hint)
        super().__init__(message, [self.problem()], hint=hint)

    def problem(self) -> Problem:
        """Return the mistake at its call; the sources, where they can be read, tell more."""
        if self.place is not None:
            return Problem(*self.place, *self.said)
        site = self.where.site
        extent = site.extent()
        line, column = (extent[0], extent[2] + 1) if extent else (site.line, 1)
        return Problem(site.file, line, column, *self.said)
