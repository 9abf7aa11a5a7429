"""From an export to predictions: which export, its model, and the JSON rules that every way in shares."""
