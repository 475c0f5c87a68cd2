"""Controls, audit records and dead letters, as operators see and change them."""
