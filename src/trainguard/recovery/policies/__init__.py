"""One policy a file: what is done about a kind of failure."""
