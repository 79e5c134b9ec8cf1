"""Weights of Keras models: the two layouts of files, and the reorderings between kinds of layers."""
