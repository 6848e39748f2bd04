"""Functions of operators, and numbers that depend on a whole operator."""
