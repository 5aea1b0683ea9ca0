"""How a network learns: recipe, schedule, loop, checkpoint, and the run directory that `fit` owns."""
