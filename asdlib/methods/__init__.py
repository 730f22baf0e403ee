"""Rivals of the two-stage method, one a file; each has ``train`` and ``score``."""
