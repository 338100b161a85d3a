"""Classification: what a classifier is, sees and can be taught."""
