"""Detectors that watch a run: one a file, pure, each from samples to findings."""
