"""Files of the machine, read within bounds."""
