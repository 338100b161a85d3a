"""Action recognition: which action a clip shows, and whether the model needed the motion to say so."""
