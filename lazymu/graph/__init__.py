"""Neighbour graphs of cells and what is made of them: arrays in, arrays out."""
