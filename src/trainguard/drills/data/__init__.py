"""Drills about training data."""
