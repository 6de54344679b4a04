"""Modules for interpreters that lack them. Only this folder's files are imported there, by path."""
