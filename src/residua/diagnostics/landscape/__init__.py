"""The loss of a network along lines and over planes through its weights (Li et al. 2018)."""
