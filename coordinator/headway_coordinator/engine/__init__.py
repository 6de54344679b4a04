"""The engine: a pure function from a run's state and an event to what changes.

It knows states, rules and the plan's graph. It knows no clock, database, broker or expression:
time is a parameter, and what needs the outside comes back as an effect whose answer is an event.
Called by the application package alone.
"""
