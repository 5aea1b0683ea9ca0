"""How a trained network is used: it needs no trainer."""
