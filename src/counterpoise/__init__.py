"""Counterpoise: regenerate the tables of two papers on balanced multimodal learning and say what holds."""

from counterpoise import loading

loading.keep_source()  # before anything else of the package is imported
