"""The networks of the style task, one file each."""
