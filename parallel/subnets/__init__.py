"""Every worker holds a slice of every layer."""
