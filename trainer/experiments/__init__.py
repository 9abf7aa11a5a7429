"""One file an experiment; its name is what `--experiment` takes."""
