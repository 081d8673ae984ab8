"""Faults of the daemon's own process and of the machine below it: ends, power, clocks, locks, leftovers."""
