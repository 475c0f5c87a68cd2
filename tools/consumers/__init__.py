"""Libraries and programs that run the code of docs/consumers.md in Java and in SQL."""
