"""The history checker: says whether what a Headway left behind can have come about rightly.

It shares no code with what it checks. It reads the database's rows with a plain driver, the
workers' journals and spools as bytes, and what the steps themselves wrote while they ran; each
violation names its invariant and the row. It looks at a quiet installation: faults are over, every
run should have ended.

The invariants are numbered as in the design's study of failure modes; each is a function below.
Some hold here in another form than there:

- I15, an event that was taken is recorded: what came by HTTP lies in the inbox, and its attempt
  must have ended as it says. What came over the queue is recorded by the same transaction that ends
  the attempt, so that I1, I11 and I22 (a spool with nothing unrecorded) speak for it.
- I16: the attempt's row is the outbox. None may still be `dispatched` when all is quiet.
- I17: the only limit so far is a worker's slots.
- I18, the half about a healthy sweeper: as far as the lease was watched from outside.
- I19 does not apply: there are no schedules yet.
"""

from tests.fault.checker.history import History, Violation
from tests.fault.checker.invariants import INVARIANTS, NOT_APPLICABLE, check
from tests.fault.checker.reading import read

__all__ = ["INVARIANTS", "NOT_APPLICABLE", "History", "Violation", "check", "read"]
