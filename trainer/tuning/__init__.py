"""Search for hyperparameters: the trials of a `hyperparameters` block, what they measured, and which to try next."""
