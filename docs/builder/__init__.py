"""What `docs/conf.py`, `docs/run.py` and the tests of the pages share."""
