"""Drills about the flow of a training run."""
