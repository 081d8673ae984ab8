"""Drills about exceptions of a user's own code: said before the run, and classified where one ends it."""
