"""What the training libraries' interfaces are, release by release: records, their file, and questions to it."""
