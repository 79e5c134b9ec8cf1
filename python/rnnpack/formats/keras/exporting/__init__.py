"""Models of rnnpack in files that Keras loads."""
