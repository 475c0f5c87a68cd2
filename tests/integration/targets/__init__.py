"""The plugins against receivers that behave like the real APIs, over real sockets."""
