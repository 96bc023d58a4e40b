"""Pictures and tables of the compression study, a module for each kind of plan."""
