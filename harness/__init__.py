"""The house of every study: plans, records, seeds, training loop, statistics, figures, reports."""
