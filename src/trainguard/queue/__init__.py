"""Custody of accepted files, and the durable queue that says what becomes of each."""
