"""Raw data to files that an experiment trains on."""
