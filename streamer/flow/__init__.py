"""Map of the flow: channels, the log and subscribers at one moment, and the layout of their drawing."""
