"""Drills about the memory of the GPU and of the machine."""
