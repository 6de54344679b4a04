"""A definition turned into an immutable graph. Pure: spec in, plan out.

Called by the coordinator when it makes or reloads a run, and by commands that show a plan. It
trusts the canonical spec: whatever a user can get wrong was refused when the spec was read.
"""

from headway.plan.builder import build
from headway.plan.digest import digest_of
from headway.plan.model import Kind, Plan, PlanStep, Retry, When

__all__ = ["Kind", "Plan", "PlanStep", "Retry", "When", "build", "digest_of"]
