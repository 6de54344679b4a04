"""Whether this coordinator may lead now. Pure: lease, holder and readings in, a verdict out.

Knows terms, renewals and when to step down early. Reads no clock and no lease row itself. Called by
the loops through the application package.
"""
