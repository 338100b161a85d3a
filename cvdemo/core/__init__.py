"""What every task stands on: devices, the registry of models, weights, the engine, media, settings and errors.

Arrows point one way: interface -> task -> core.  Nothing in here knows a task, and nothing in here imports Gradio.
"""
