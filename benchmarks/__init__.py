"""Speed claims of the README, measured. Rivals run in turn with ours; nothing here is a test."""
