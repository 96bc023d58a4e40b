"""Every worker holds some of the layers: tables say who does what when, policies with which weights."""
