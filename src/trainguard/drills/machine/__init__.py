"""Drills about the machine."""
