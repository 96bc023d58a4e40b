"""What notes on systems for machine learning say, small enough to read and to count.

Each room belongs to a notebook: `autodiff` (10), `graphs` (11), `memory` (12), `convolution` (13),
`depth` (14), `allreduce` (15), `batch` (16), `filling` (17).
A formula stands in a function; the code beside it counts while it computes (`primer.count`), and
notebook and tests hold the two together.
"""
