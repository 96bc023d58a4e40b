"""Every worker holds the whole net."""
