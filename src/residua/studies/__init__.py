"""Claims put to the test: what is claimed, what is run for it, and what the numbers allow one to say."""
