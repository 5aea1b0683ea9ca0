"""The Hessian of a network's loss: its products, largest eigenvalues, trace and spectral density."""
