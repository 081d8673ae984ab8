"""Drills about models and adapters."""
