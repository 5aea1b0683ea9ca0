"""Weights that others trained: what is published, how it is fetched and read, and whose names its tensors have."""
