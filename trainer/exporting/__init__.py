"""From a live model to committed SavedModels: what is in one, and when one is written."""
