"""Counterpoise: regenerate the tables of two papers on balanced multimodal learning and say what holds."""
