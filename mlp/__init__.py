"""The MLP study: does a sparse multilayer perceptron lose much, and does balance help?"""
