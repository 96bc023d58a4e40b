"""The tests, in rooms as the house has them: tests/<folder>/<room>/test_<file>.py."""
