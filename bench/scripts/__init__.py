"""What runs as a whole process of its own: the first training step, and a million runs."""
