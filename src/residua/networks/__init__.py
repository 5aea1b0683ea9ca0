"""What a network is: its specification, the modules built from it, the named presets, and what it costs."""
