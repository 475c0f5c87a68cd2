"""The CometD server of the sandbox, over real sockets."""
