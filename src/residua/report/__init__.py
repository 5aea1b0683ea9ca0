"""Draws what the rooms below return: figures, a self-contained page, terminal tables and progress."""
