"""Which triggers an event fires, and with which parameters. Pure: event in, wanted runs out.

One accepted event and one trigger give exactly one wanted run, named so that a repeated event names
the same run. Knows no HTTP, broker or database. Called by the application package.
"""
