"""Every worker holds some layers: tables say who does what when, policies with which weights."""
