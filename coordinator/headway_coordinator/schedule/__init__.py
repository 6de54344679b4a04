"""When the next run of a schedule is due. Pure: a schedule and a moment in, moments out.

Knows calendars, time zones and what to do about missed times. Knows no clock and no database: the
present is a parameter. Called by the application package.
"""
