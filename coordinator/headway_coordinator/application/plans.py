"""Plans by digest: built once from the stored definition, kept while they are used."""

from __future__ import annotations

from collections import OrderedDict

from headway.errors import DefectError
from headway.plan import build
from headway.plan.model import Plan
from headway_coordinator.application.ports import Definitions

_LIMIT = 1000


class Plans:
    """A bounded cache of plans. A digest pins its plan, so an entry is never stale."""

    def __init__(self, definitions: Definitions) -> None:
        self._definitions = definitions
        self._plans: OrderedDict[str, Plan] = OrderedDict()

    def get(self, digest: str) -> Plan:
        """Return the plan of the definition with this digest.

        Raises:
            DefectError: no such definition is stored.
        """
        plan = self._plans.get(digest)
        if plan is None:
            stored = self._definitions.get(digest)
            if stored is None:
                raise DefectError("definition_missing", f"no definition has the digest {digest}")
            plan = self._plans[digest] = build(stored.canonical, digest)
            if len(self._plans) > _LIMIT:
                self._plans.popitem(last=False)
        else:
            self._plans.move_to_end(digest)
        return plan
