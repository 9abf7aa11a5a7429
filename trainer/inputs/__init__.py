"""From files to batches: what the columns are, how they are read, and in which order the examples come."""
