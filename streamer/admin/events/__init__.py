"""Events for operators: searched in the log, told with what became of them, and followed."""
