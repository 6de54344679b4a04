"""Executors: one module for each kind of step that a worker performs.

An executor is given resolved work and a context, and returns a `Result`; it raises nothing for a
step's own failure. It knows neither claims, reports nor Celery. Further kinds come from installed
packages by the entry point group `headway.executors` (name: kind, value: the executor).
"""
