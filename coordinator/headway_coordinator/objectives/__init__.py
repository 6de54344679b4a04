"""Whether a pipeline keeps its objectives, and how fast it spends what may fail. Pure.

Finished runs and a window in; attainment and burn rate out. Knows no database, clock or channel of
notification. Called by the application package.
"""
