"""The predictions of files: what is read, in parts that are called, and what is written, whole shards of it."""
