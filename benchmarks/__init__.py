"""Our speed and quality beside the peers', in one run: `make bench`."""
