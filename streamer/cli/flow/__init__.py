"""The command that draws which subscriber gets which events, and after which other."""
