"""From a command line to finished runs: options, processes, what people see, the end of a call."""
