"""What the user set: flags, environment and output, read once and passed down as data."""
