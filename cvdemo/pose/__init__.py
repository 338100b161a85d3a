"""Human pose: where the joints of every person in a picture are."""
