"""Processes of steps: started, watched and ended whole.

`launcher` and `child` run as programs of their own and know nothing but the standard library.
`spawner` and `process` are the worker's side of the launcher, `interpreters` its side of `child`.
Nothing here knows Celery, HTTP or what a step means.
"""
