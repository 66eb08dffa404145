"""Seeded schedules of faults, and the referee who judges what they did: ``python -m tests.faults``."""
