"""Which weights of a dense net stay: scores, schedules, and masks as plain data."""
