"""Members computed together: as one stack where that is measured to be faster, else in a loop."""
