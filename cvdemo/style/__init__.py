"""Style transfer: by optimisation, in one forward pass, and the losses behind both."""
