"""Whether data is fit to train on: exact statistics of it, and what is wrong with it."""
