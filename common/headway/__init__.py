"""Headway's shared language: what pipeline authors, workers and coordinators agree on."""

from __future__ import annotations

__version__ = "0.1.0"
