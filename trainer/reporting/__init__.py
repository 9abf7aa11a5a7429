"""The report of a run: one HTML file that says what ran, how it went, and where the model errs."""
