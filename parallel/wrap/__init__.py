"""One line around a model of yours, in an ordinary loop."""
