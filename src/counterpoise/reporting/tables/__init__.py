"""A paper's table with our numbers in it: laid out once (`view`), written in four formats (`formats`)."""
