"""`genmint doctor`: checks of machine, environment and checkout."""
