"""Figures: rows as CSV, and pictures of them as SVG and PNG, one module per kind of figure in ``kinds``."""

from counterpoise.reporting.figures.draw import draw_figures, draw_tables

__all__ = ["draw_figures", "draw_tables"]
