"""The edge cases, caused for real. `trainguard drill` runs them for a user, the tests run the same objects."""
