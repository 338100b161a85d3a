"""Action recognition: what people do in a clip."""
