"""Where numbers lie and what it costs to fetch them: strides, caches, BLAS levels, the roofline."""
