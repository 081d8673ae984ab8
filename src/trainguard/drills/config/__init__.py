"""Drills about configurations."""
