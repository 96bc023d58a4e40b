"""From records to numbers, tables, figures and pages."""
