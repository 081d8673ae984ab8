"""Drills about checkpoints."""
