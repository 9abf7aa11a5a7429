"""Sample data of the experiments: `trainer.samples.<experiment>` has `write(directory)` and `is_written(directory)`."""
