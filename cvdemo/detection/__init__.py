"""Object detection: candidates from a network, then everything a lecture does with them."""
