"""Faults around the queue of training files: the folder they come from, its state, its order and its ends."""
