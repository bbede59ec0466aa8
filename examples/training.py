"""Lets the examples say `import training`; the module itself is part of flowc, whose models use it, too."""

from flowc.models.training import Training, draw_losses, figure, parser, write

__all__ = ["Training", "draw_losses", "figure", "parser", "write"]
