"""Who may do what: roles and actions, scope by team, tokens, signed sessions. Pure.

Called by the API's gate and by use cases. It knows neither HTTP nor the database, and it reads no
clock and no randomness: both are parameters.
"""
