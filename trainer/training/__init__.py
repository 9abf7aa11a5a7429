"""The loop: train until a step, stop, go on; and what must survive a process."""
