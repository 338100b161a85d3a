"""The page: shell, shared widgets, lessons, system panel. The only package, beside the tabs, that imports Gradio."""
