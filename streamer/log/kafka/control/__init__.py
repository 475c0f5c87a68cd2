"""Controls, the audit and dead letters, as operators see and change them."""
