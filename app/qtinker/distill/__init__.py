"""Distillation: losses, layer mappings, methods, teacher outputs, students and the training loop."""
