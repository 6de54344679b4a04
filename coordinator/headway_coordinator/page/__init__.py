"""The pages for people: what is wrong, why, and what comes next, before anything else.

A page and its JSON come from the same query of the application package. It decides nothing and
knows neither storage nor broker. Called by `bootstrap`.
"""
