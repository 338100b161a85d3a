"""Networks of this task, one architecture a file."""
