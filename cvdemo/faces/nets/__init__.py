"""Networks that find and read faces."""
