"""Boosting: the rule as plain functions, its course from member to member, its vote."""
