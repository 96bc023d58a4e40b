"""A convolution as a product: its matrix, im2col, shifts, Fourier's and Winograd's; and costs."""
