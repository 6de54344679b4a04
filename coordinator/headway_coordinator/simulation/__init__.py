"""A run that nobody performs: the real engine and the real admission on a clock moved by hand.

Pure: a definition and what is taken for granted in, what becomes of the run out. It knows engine,
admission and the application's batch and resolver; workers are numbers of slots, and an attempt is
a moment at which it ends. No storage, broker, process, socket or file. Called by the command line
through the entry point of the group `headway.simulation`.
"""

from headway_coordinator.simulation.simulating import simulate

__all__ = ["simulate"]
